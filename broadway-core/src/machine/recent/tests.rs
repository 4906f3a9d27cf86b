use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_knows_the_last_ids_of_the_window(
        capacity in 1..6_usize,
        window in 1..10_u32,
        steps in prop::collection::vec((0..4_u32, 0..8_u8), 0..100),
    ) {
        let start = Instant::now();
        let mut recent = Recent::new(capacity, window * SECOND);
        // The ids by their last insertion, the oldest first.
        let mut model: Vec<(u32, u8)> = Vec::new();
        let mut now = 0;
        for (wait, id) in steps {
            now += wait;
            let is_newest_now = model.iter().any(|(at, known)| *at == now && *known == id);
            if !is_newest_now {
                model.retain(|(_, known)| *known != id);
                model.push((now, id));
            }
            model.retain(|(at, _)| now - at < window);
            let excess = model.len().saturating_sub(capacity);
            model.drain(..excess);
            recent.insert(&id.to_string(), start + now * SECOND);
            for id in 0..8_u8 {
                let known = model.iter().any(|(_, known)| *known == id);
                prop_assert_eq!(recent.contains(&id.to_string(), start + now * SECOND), known);
            }
            prop_assert_eq!(recent.len(), model.len());
            prop_assert!(recent.order.len() <= 2 * capacity + 1);
        }
    }
}

#[test]
fn one_id_that_comes_again_and_again_takes_no_more_memory() {
    let start = Instant::now();
    let mut recent = Recent::new(10, Duration::MAX);
    for n in 0..10_000 {
        recent.insert("same", start + n * SECOND);
        recent.insert(if n % 2 == 0 { "even" } else { "odd" }, start + n * SECOND);
    }
    assert_eq!(recent.len(), 3);
    assert!(recent.order.len() <= 21);
}
