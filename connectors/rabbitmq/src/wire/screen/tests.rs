//! Messages that arrive in pieces.

use proptest::prelude::*;

use super::*;

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend_from_slice(&channel.to_be_bytes());
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(payload);
    frame.push(0xce);
    frame
}

/// A message as the broker delivers it, with a message id of these bytes.
fn message(tag: u64, id: &[u8], body: &[u8]) -> Vec<u8> {
    let mut deliver = b"\x00\x3c\x00\x3c\x01c".to_vec();
    deliver.extend_from_slice(&tag.to_be_bytes());
    deliver.extend_from_slice(b"\x00\x01x\x01k");
    let mut header = b"\x00\x3c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x80".to_vec();
    header.push(u8::try_from(id.len()).unwrap());
    header.extend_from_slice(id);
    [
        frame(METHOD, 1, &deliver),
        frame(CONTENT_HEADER, 1, &header),
        frame(BODY, 1, body),
    ]
    .concat()
}

/// The output for bytes that arrive in pieces of these sizes, with a buffer of `room` bytes for those that were kept.
fn screened(mut bytes: &[u8], pieces: &[usize], room: usize) -> (Vec<u8>, Vec<MendedDelivery>) {
    let mut screen = FrameScreen::default();
    let (mut out, mut mended) = (Vec::new(), Vec::new());
    let mut room = vec![0; room];
    let mut sizes = pieces.iter().cycle();
    while !bytes.is_empty() {
        let n = (*sizes.next().unwrap()).min(bytes.len());
        let mut piece = bytes[..n].to_vec();
        bytes = &bytes[n..];
        let passed = screen.push(&mut piece);
        out.extend_from_slice(&piece[..passed]);
        mended.extend(screen.take_mended());
        loop {
            let n = screen.take_ready(&mut room);
            if n == 0 {
                break;
            }
            out.extend_from_slice(&room[..n]);
        }
    }
    (out, mended)
}

#[test]
fn bytes_that_are_not_amqp_pass_unchanged() {
    let bytes = b"AMQP\x00\x00\x09\x01 and more\xff";
    assert_eq!(screened(bytes, &[3], 2).0, bytes);
}

#[test]
fn a_routing_key_that_is_not_utf_8_is_a_flaw_of_its_delivery_only() {
    let mut bytes = message(1, b"a", b"x");
    let key = bytes
        .windows(4)
        .position(|four| four == b"\x01x\x01k")
        .unwrap();
    bytes[key + 3] = 0xff;
    bytes.extend(message(2, b"b", b"y"));
    let (out, mended) = screened(&bytes, &[1_000], 1);
    assert_eq!(out[key + 3], b'?');
    let [found] = &mended[..] else {
        panic!("{mended:?}");
    };
    assert_eq!((found.channel, found.tag), (1, 1));
    assert!(found.flaw.contains("routing key"), "{found:?}");
}

proptest! {
    /// The sizes of the pieces make no difference: each message comes out as it would alone.
    #[test]
    fn messages_are_mended_in_pieces_of_any_size(
        messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..4), prop::collection::vec(any::<u8>(), 0..40)), 1..12),
        pieces in prop::collection::vec(1..60_usize, 1..6),
        room in 1..50_usize,
    ) {
        let (mut bytes, mut expected, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        for (tag, (id, body)) in (1..).zip(&messages) {
            bytes.extend(message(tag, id, body));
            let text = std::str::from_utf8(id);
            if text.is_err() {
                wrong.push(tag);
            }
            // Byte for byte, from the end of the valid text on.
            let mut mended = id.clone();
            while let Err(error) = std::str::from_utf8(&mended.clone()) {
                mended[error.valid_up_to()] = b'?';
            }
            expected.extend(message(tag, &mended, body));
        }
        let (out, mended) = screened(&bytes, &pieces, room);
        prop_assert_eq!(out, expected);
        prop_assert_eq!(mended.iter().map(|found| found.tag).collect::<Vec<_>>(), wrong);
    }
}
