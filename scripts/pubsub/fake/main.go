// Google's in-memory fake of Pub/Sub, pstest, as a server, for machines without Google's emulator. It
// keeps every published message in memory until it ends.
//
// pstest supports gRPC only; administration clients use REST, and the emulator serves both on one port.
// So a connection that opens like HTTP/2 goes to gRPC, and any other to the REST front (rest.go), which is
// a gRPC client of this server: a REST response proves that both work.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// The largest accepted message: Pub/Sub's limit of 10 MB for a request, with a margin.
const messageBytesMax = 16 << 20

func main() {
	address := flag.String("listen", "127.0.0.1:19085", "host:port for gRPC and REST")
	flag.Parse()
	log.Fatal(serve(*address))
}

func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	client, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageBytesMax)))
	if err != nil {
		return err
	}
	rest := &http.Server{Handler: newREST(client), ReadHeaderTimeout: time.Minute}

	byProtocol := split(listener)
	ended := make(chan error, 3)
	go func() { ended <- grpcServer().Serve(byProtocol.http2) }()
	go func() { ended <- rest.Serve(byProtocol.http1) }()
	go func() { ended <- byProtocol.accept() }()
	log.Printf("pstest listens on %s, gRPC and REST", listener.Addr())
	return <-ended
}

// grpcServer serves the fake's services. pstest also opens a port on loopback, chosen by the system,
// which stays unused.
func grpcServer() *grpc.Server {
	fake := pstest.NewServerWithAddress("127.0.0.1:0")
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(messageBytesMax),
		grpc.UnaryInterceptor(refuseSeek))
	pubsubpb.RegisterPublisherServer(server, &fake.GServer)
	pubsubpb.RegisterSubscriberServer(server, &fake.GServer)
	pubsubpb.RegisterSchemaServiceServer(server, &fake.GServer)
	return server
}

// refuseSeek rejects a seek, which would crash the fake at its next delivery.
func refuseSeek(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	if _, isSeek := request.(*pubsubpb.SeekRequest); isSeek {
		return nil, status.Error(codes.Unimplemented,
			"pstest cannot seek: use Google's emulator (BROADWAY_PUBSUB_SERVER=emulator)")
	}
	return next(ctx, request)
}
