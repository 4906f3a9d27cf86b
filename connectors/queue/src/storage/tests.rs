//! What holds for all stores, each fact a function that runs for each of them.

mod damage;
mod facts;
mod model;
mod spaces;
mod subjects;

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Space, Storage, StorageError, Sync, Write};

/// Runs facts for a store.
macro_rules! holds {
    ($store:ident: $subject:ty, $($module:ident::{$($fact:ident),* $(,)?}),* $(,)?) => {
        mod $store {
            use super::subjects::{self, Subject};

            $($(
                #[test]
                fn $fact() {
                    super::$module::$fact(&mut <$subject>::new());
                }
            )*)*
        }
    };
}

/// Runs all facts for a store in a folder.
macro_rules! holds_in_a_folder {
    ($store:ident: $subject:ty) => {
        holds! { $store: $subject,
            facts::{
                a_commit_is_all_or_nothing_after_a_kill,
                a_commit_to_an_unknown_space_ends_the_writes,
                a_scan_starts_at_the_key_and_ends_at_a_break,
                a_second_opening_is_refused,
                all_sizes_of_values_come_back,
                reads_see_whole_commits,
                the_last_pair_is_found,
                the_last_pair_up_to_a_key_is_found,
            },
            spaces::{
                a_dropped_space_frees_its_room,
                a_dropped_space_is_readable_by_a_read_that_began,
                a_name_of_a_dropped_space_is_a_new_space,
                a_space_that_takes_the_place_of_others_stays,
                odd_names_are_refused,
                spaces_keep_their_numbers_while_others_come_and_go,
                spaces_survive_reopening,
            },
            damage::{
                a_flipped_bit_is_never_returned_as_good,
                a_torn_tail_is_cut,
                damage_before_synced_commits_is_refused,
                damage_in_commits_that_were_not_synced_is_cut,
            },
            model::{it_is_a_map_of_maps},
        }
    };
}

holds_in_a_folder! { fjall: subjects::Fjall }

#[cfg(feature = "rocksdb")]
holds_in_a_folder! { rocksdb: subjects::RocksDb }

holds! { memory: subjects::Memory,
    facts::{
        a_commit_is_all_or_nothing_after_a_kill,
        a_commit_to_an_unknown_space_ends_the_writes,
        a_scan_starts_at_the_key_and_ends_at_a_break,
        a_second_opening_is_refused,
        all_sizes_of_values_come_back,
        reads_see_whole_commits,
        the_last_pair_is_found,
        the_last_pair_up_to_a_key_is_found,
    },
    spaces::{
        a_dropped_space_frees_its_room,
        a_dropped_space_is_readable_by_a_read_that_began,
        a_name_of_a_dropped_space_is_a_new_space,
        a_space_that_takes_the_place_of_others_stays,
        odd_names_are_refused,
        spaces_keep_their_numbers_while_others_come_and_go,
        spaces_survive_reopening,
    },
    model::{it_is_a_map_of_maps},
}

/// What a scan finds.
type Pairs = Vec<(Vec<u8>, Bytes)>;

fn put(space: Space, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Write {
    Write::Put(space, key.into(), value.into())
}

/// The key of a record.
fn key(number: u64) -> Vec<u8> {
    number.to_be_bytes().into()
}

/// A value that differs from others, and has all bytes.
fn value(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1);
    let bytes = (0..length).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    });
    bytes.collect()
}

fn pairs(store: &dyn Storage, space: Space, from: &[u8]) -> Result<Pairs, StorageError> {
    let mut pairs = Vec::new();
    store.scan(space, from, &mut |key, value| {
        pairs.push((key.to_owned(), value));
        ControlFlow::Continue(())
    })?;
    Ok(pairs)
}

/// The last pair.
fn last(store: &dyn Storage, space: Space) -> Result<Option<(Vec<u8>, Bytes)>, StorageError> {
    store.floor(space, &[0xff; 300])
}

fn keys(store: &dyn Storage, space: Space) -> Vec<Vec<u8>> {
    pairs(store, space, b"")
        .unwrap()
        .into_iter()
        .map(|(key, _)| key)
        .collect()
}
