use proptest::{collection::vec, option, prelude::*};

use super::*;

type Parts = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<u8>, i64);

fn parts() -> impl Strategy<Value = Parts> {
    let payload = option::of(vec(any::<u8>(), 0..9_000));
    (
        payload,
        option::of(vec(any::<u8>(), 0..20)),
        vec(any::<u8>(), 0..20),
        any::<i64>(),
    )
}

fn encoded(records: &[Parts]) -> EncodedRecords {
    let mut encoded = EncodedRecords::default();
    for (payload, key, headers, time) in records {
        encoded.push(NewRecord {
            payload: payload.as_deref(),
            key: key.as_deref(),
            headers,
            time: *time,
        });
    }
    encoded
}

fn parts_of(record: &StoredRecord) -> Parts {
    let payload = record.payload().map(<[u8]>::to_vec);
    let key = record.key().map(<[u8]>::to_vec);
    (payload, key, record.headers().to_vec(), record.time())
}

fn read(block: &Block, from: u64) -> Vec<(u64, Result<Parts, Corrupt>)> {
    let mut read = Vec::new();
    block.read(from, |offset, record| {
        read.push((offset, record.map(|record| parts_of(&record))));
        true
    });
    read
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(
        records in vec(parts(), 1..12), first in 0..u64::MAX / 2, skipped in 0..12_usize,
    ) {
        let bytes = encoded(&records).block(first, 7, 1_000);
        let block = Block::parse(first, bytes.clone().into()).unwrap();
        prop_assert_eq!(block.end(), first + records.len() as u64);
        prop_assert_eq!(block.bytes_through(), 7 + bytes.len() as u64);
        prop_assert_eq!(block.appended_at(), 1_000);
        let skipped = skipped.min(records.len());
        let expected: Vec<_> = (first..).zip(records.iter().cloned().map(Ok)).skip(skipped).collect();
        prop_assert_eq!(read(&block, first + skipped as u64), expected);
    }

    #[test]
    fn every_flipped_bit_is_found(
        records in vec(parts(), 1..6), first in 0..u64::MAX / 2, place: prop::sample::Index, bit in 0..8_u32,
    ) {
        let mut bytes = encoded(&records).block(first, 0, 0);
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        // The fourth byte has no meaning yet, and is covered by the checksum all the same.
        let Ok(block) = Block::parse(first, bytes.into()) else { return Ok(()) };
        let broken = read(&block, 0).iter().filter(|(_, record)| record.is_err()).count();
        prop_assert_eq!(broken, 1, "one record, and no other");
    }

    #[test]
    fn a_block_in_a_wrong_place_is_found(records in vec(parts(), 1..4), first: u32, other: u32) {
        prop_assume!(first != other);
        let bytes = encoded(&records).block(u64::from(first), 0, 0);
        prop_assert_eq!(Block::parse(u64::from(other), bytes.into()).err(), Some(Corrupt));
    }

    #[test]
    fn bytes_of_any_kind_do_not_panic(mut bytes: Vec<u8>, with_magic: bool) {
        if with_magic {
            bytes.splice(..0, *b"BQ\x01");
        }
        if let Ok(block) = Block::parse(0, bytes.into()) {
            drop(read(&block, 0));
        }
    }
}

#[test]
fn a_record_that_is_held_holds_a_small_piece() {
    let record: Parts = (Some(vec![1; 100]), None, Vec::new(), 0);
    let bytes = encoded(&vec![record; 1_000]).block(0, 0, 0);
    let block = Block::parse(0, bytes.into()).unwrap();
    let mut held = Vec::new();
    block.read(0, |_, record| {
        held.push(record.unwrap());
        true
    });
    let address = |record: &StoredRecord| record.payload().unwrap().as_ptr() as usize;
    let is_next = |pair: &[StoredRecord]| address(&pair[1]) == address(&pair[0]) + pair[0].size();
    let ends = held.windows(2).filter(|pair| !is_next(pair));
    assert!(ends.count() > 20, "115 KB in too few pieces");
}
