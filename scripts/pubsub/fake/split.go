package main

import (
	"bufio"
	"net"
	"time"
)

// The start of every HTTP/2 connection without TLS (RFC 9113, 3.4). The first bytes are enough, since no
// HTTP/1 method begins like this.
const http2Opening = "PRI "

// A connection that stays silent for this time is closed.
const openingTimeout = time.Minute

// splitter passes each connection of a listener to one of two servers, by its first bytes.
type splitter struct {
	from         net.Listener
	http1, http2 *handed
}

func split(from net.Listener) *splitter {
	return &splitter{from: from, http1: newHanded(from), http2: newHanded(from)}
}

// accept runs until the listener fails.
func (s *splitter) accept() error {
	for {
		connection, err := s.from.Accept()
		if err != nil {
			return err
		}
		go s.hand(connection)
	}
}

// hand waits for the first bytes in a goroutine, so that a silent client does not delay others.
func (s *splitter) hand(connection net.Conn) {
	reader := bufio.NewReader(connection)
	connection.SetReadDeadline(time.Now().Add(openingTimeout))
	opening, err := reader.Peek(len(http2Opening))
	if err != nil {
		connection.Close()
		return
	}
	connection.SetReadDeadline(time.Time{})
	to := s.http1
	if string(opening) == http2Opening {
		to = s.http2
	}
	to.connections <- &peeked{connection, reader}
}

// handed is a listener that receives its connections from a splitter.
type handed struct {
	net.Listener
	connections chan net.Conn
}

func newHanded(from net.Listener) *handed {
	return &handed{Listener: from, connections: make(chan net.Conn)}
}

func (h *handed) Accept() (net.Conn, error) { return <-h.connections, nil }

// peeked is a connection that returns its first bytes again.
type peeked struct {
	net.Conn
	reader *bufio.Reader
}

func (p *peeked) Read(into []byte) (int, error) { return p.reader.Read(into) }
