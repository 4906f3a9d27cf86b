#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use super::*;

fn n(partitions: u32) -> NonZeroU32 {
    NonZeroU32::new(partitions).unwrap()
}

fn named(router: &Router, partition: u32, partitions: u32) -> Result<u32, PartitionOutOfRange> {
    router
        .call(n(partitions))
        .partition(Some(partition), Some(b"key"))
}

/// The records of Kafka's `UtilsTest.testMurmur2`.
#[test]
fn keys_are_hashed_as_in_kafka() {
    let vectors: [(&[u8], i32); 6] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (
            b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
        ),
        (b"abc", 479_470_107),
    ];
    for (key, hash) in vectors {
        assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
    }
}

/// Hashes and partitions (of 12) by another implementation, which agrees with kafka-python. Bytes above 127 are negative in Java.
#[test]
fn keys_of_every_length_go_to_the_partitions_of_kafka() {
    let key: Vec<u8> = (0..16).map(|index| (200 + 37 * index) as u8).collect();
    let vectors = [
        (275_646_681, 9),
        (425_050_138, 10),
        (-1_606_385_903, 9),
        (-108_754_803, 5),
        (1_386_831_423, 3),
        (580_644_288, 0),
        (-1_879_261_483, 1),
        (-532_381_679, 9),
        (1_482_585_343, 7),
        (210_905_472, 0),
        (1_170_719_500, 4),
        (387_960_439, 7),
        (-424_466_987, 9),
        (-1_260_287_053, 7),
        (-326_867_563, 1),
        (-27_470_952, 8),
        (-1_323_797_251, 1),
    ];
    let router = Router::starting_at(0);
    for (length, (hash, partition)) in vectors.into_iter().enumerate() {
        let key = &key[..length];
        assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
        let chosen = router.call(n(12)).partition(None, Some(key));
        assert_eq!(chosen, Ok(partition), "{key:?}");
    }
}

#[test]
fn an_empty_key_is_a_key() {
    let router = Router::starting_at(0);
    for _ in 0..3 {
        assert_eq!(router.call(n(12)).partition(None, Some(b"")), Ok(9));
    }
}

#[test]
fn a_named_partition_takes_precedence_over_the_key() {
    let router = Router::starting_at(0);
    for partition in 0..12 {
        assert_eq!(named(&router, partition, 12), Ok(partition));
    }
}

#[test]
fn a_partition_that_does_not_exist_is_an_error() {
    let router = Router::starting_at(0);
    let error = named(&router, 4, 4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "partition 4 does not exist: the topic has 4 partitions, numbered from 0"
    );
    let error = named(&router, u32::MAX, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "partition 4294967295 does not exist: the topic has 1 partition, numbered from 0"
    );
}

#[test]
fn records_without_a_key_share_a_partition_and_calls_take_turns() {
    let router = Router::starting_at(0);
    let mut partitions = Vec::new();
    for _ in 0..7 {
        let mut call = router.call(n(3));
        let first = call.partition(None, None).unwrap();
        assert_eq!(call.partition(Some(2), None), Ok(2));
        assert_eq!(call.partition(None, None), Ok(first));
        partitions.push(first);
    }
    assert_eq!(partitions, [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn calls_with_keys_take_no_turn() {
    let router = Router::starting_at(0);
    let mut partitions = Vec::new();
    for _ in 0..4 {
        router.call(n(2)).partition(None, Some(b"key")).unwrap();
        named(&router, 0, 2).unwrap();
        partitions.push(router.call(n(3)).partition(None, None).unwrap());
    }
    assert_eq!(partitions, [0, 1, 2, 0]);
}

#[test]
fn turns_wrap() {
    let router = Router {
        turns: AtomicU32::new(u32::MAX),
    };
    let turn = || router.call(n(4)).partition(None, None).unwrap();
    assert_eq!([turn(), turn(), turn()], [3, 0, 1]);
}
