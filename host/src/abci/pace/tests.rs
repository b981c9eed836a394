//! A network as one node sees it, with a clock of its own.

use std::collections::VecDeque;

use super::*;

/// Weight of each transaction.
const TX: u64 = 1 << 10;

/// A network that takes `least` and 0.5 ms for each transaction, and one node of it.
struct Network {
    now: Instant,
    pace: Pace,
    least: Duration,
    queue: VecDeque<TxHash>,
    offered: u64,
    refused: u64,
}

impl Network {
    fn new(least_millis: u64) -> Self {
        let now = Instant::now();
        let (pace, least) = (Pace::new(now), Duration::from_millis(least_millis));
        Self { now, pace, least, queue: VecDeque::new(), offered: 0, refused: 0 }
    }

    fn is_refused(&self, tx: TxHash) -> bool {
        self.pace.refusal(|| tx, || self.now).is_some()
    }

    fn offer(&mut self, count: u64) {
        for _ in 0..count {
            self.offered += 1;
            let tx = TxHash::of(&self.offered.to_le_bytes());
            if self.is_refused(tx) {
                self.refused += 1;
            } else {
                self.pace.accepted(&tx, TX, self.now);
                self.queue.push_back(tx);
            }
        }
    }

    /// A block of what the budget allows, while so many transactions are offered for each second; answers its milliseconds.
    fn block(&mut self, offered_per_second: u64) -> u64 {
        let count = usize::try_from(self.pace.proposal_weight() / TX).unwrap().min(self.queue.len());
        let txs: Vec<TxHash> = self.queue.drain(..count).collect();
        self.decide(txs, offered_per_second)
    }

    fn decide(&mut self, txs: Vec<TxHash>, offered_per_second: u64) -> u64 {
        let time = self.least + Duration::from_micros(500 * txs.len() as u64);
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.now += time;
        self.offer(offered_per_second * millis / 1000);
        self.pace.committed(self.now, txs.len() as u64 * TX, txs);
        millis
    }

    fn blocks(&mut self, count: u64, offered_per_second: u64) {
        for _ in 0..count {
            self.block(offered_per_second);
        }
    }

    fn overloaded(least_millis: u64) -> Self {
        let mut network = Self::new(least_millis);
        network.offer(3_000);
        network.blocks(100, 6_000);
        network
    }

    /// After that, nothing waits, and what was decided last had not waited for long.
    fn rested(least_millis: u64) -> Self {
        let mut network = Self::overloaded(least_millis);
        while !network.queue.is_empty() {
            network.block(0);
        }
        network.offer(20);
        network.block(0);
        network
    }

    /// Weight of a block that takes the target time.
    fn block_weight(&self) -> u64 {
        self.pace.measured.lock().unwrap().budget.weight()
    }
}

#[test]
fn blocks_come_to_take_the_target_time_and_the_queue_stays_bounded() {
    let mut network = Network::overloaded(25);
    for _ in 0..20 {
        // What waits this long waits for larger blocks.
        let millis = network.block(6_000);
        assert!((400..455).contains(&millis), "{millis}");
        let blocks = network.queue.len() as u64 * TX / network.block_weight();
        assert!((50..100).contains(&blocks), "{blocks} blocks in the queue");
    }
    let mut network = Network::rested(25);
    network.offer(1_000);
    for _ in 0..3 {
        let millis = network.block(0);
        assert!((120..180).contains(&millis), "{millis}");
    }
}

#[test]
fn a_node_whose_blocks_are_quick_proposes_twice_as_much_with_each_one() {
    let (mut network, mut budgets) = (Network::new(10), Vec::new());
    let start = network.block_weight();
    network.offer(100_000);
    // A transaction takes 5 us.
    for _ in 0..6 {
        let count = usize::try_from(network.pace.proposal_weight() / TX).unwrap();
        let txs: Vec<TxHash> = network.queue.drain(..count).collect();
        network.now += Duration::from_micros(5 * count as u64);
        network.pace.committed(network.now, count as u64 * TX, txs);
        budgets.push(network.block_weight() / start);
    }
    // The first tells nothing: when its transactions came is not known. The last is what fits in the target time.
    assert_eq!(budgets, [1, 2, 4, 8, 16, 29]);
}

#[test]
fn up_to_what_the_network_carries_nothing_is_refused_and_a_light_load_changes_nothing() {
    let mut network = Network::new(25);
    network.offer(10);
    for offered in [20, 200, 1_000, 1_400, 1_000, 20, 1_500] {
        let before = network.block_weight();
        network.blocks(50, offered);
        assert_eq!(network.refused, 0, "at {offered} for each second");
        assert_eq!(network.pace.overload(|| network.now), None, "at {offered} for each second");
        assert!(network.block_weight() >= before.min(200 * TX), "{}", network.block_weight());
    }
}

#[test]
fn a_burst_is_taken_and_decided() {
    let mut network = Network::rested(25);
    let before = network.refused;
    // A second and a half of what the network carries.
    network.offer(2_700);
    assert_eq!(network.refused, before);
    // Such a burst over HTTP would be taken in parts.
    let Overload { wait, wait_max } = network.pace.overload(|| network.now).unwrap();
    assert!((1.25..1.75).contains(&wait.as_secs_f64()), "{wait:?}");
    assert_eq!(wait_max, Duration::from_millis(375));
    network.blocks(12, 0);
    assert_eq!(network.pace.overload(|| network.now), None);
}

#[test]
fn a_network_of_slow_votes_gets_longer_blocks() {
    let mut network = Network::overloaded(1_200);
    let millis = network.pace.block_micros.load(Ordering::Relaxed) / 1000;
    assert!((3_500..4_000).contains(&millis), "{millis}");
    // Only some are stretched: transactions that waited for long are forgotten by the thousand, and proposals shrink.
    let millis = (0..8).map(|_| network.block(6_000)).max().unwrap();
    assert!((6_500..9_500).contains(&millis), "{millis}");
}

#[test]
fn a_slower_network_is_noticed_and_a_faster_one_too() {
    let mut network = Network::overloaded(25);
    let before = network.block_weight();
    // Something else takes a part of the time, and stops.
    network.least = Duration::from_millis(100);
    network.blocks(60, 6_000);
    let slower = network.block_weight();
    network.least = Duration::from_millis(5);
    network.blocks(60, 6_000);
    let faster = network.block_weight();
    assert!(slower < before * 9 / 10 && faster > before, "{before}, {slower}, {faster}");
}

#[test]
fn one_block_that_was_held_up_changes_little() {
    let mut network = Network::overloaded(25);
    let before = network.block_weight();
    network.least = Duration::from_secs(600);
    network.block(0);
    network.least = Duration::from_millis(25);
    network.blocks(4, 6_000);
    assert!(network.block_weight() > before * 3 / 4, "{before}, {}", network.block_weight());
}

#[test]
fn nothing_is_refused_before_a_block_has_shown_what_a_queue_takes() {
    let mut network = Network::new(0);
    // Checks alone, as before the first block.
    network.offer(50_000);
    // Blocks of others' transactions, each far lighter than the budget.
    for n in 1..100 {
        let now = network.now + Duration::from_secs(n);
        network.pace.committed(now, 64 << 10, [TxHash::of(b"another's")]);
        assert!(!network.is_refused(TxHash::of(b"next")));
        assert_eq!(network.pace.overload(|| now), None);
    }
    assert_eq!(network.refused, 0);
}

#[test]
fn a_refusal_has_a_code_and_says_when_to_try_again() {
    let network = Network::overloaded(25);
    let refusal =
        (0..).find_map(|n: u64| network.pace.refusal(|| TxHash::of(&n.to_le_bytes()), || network.now));
    let refusal = refusal.unwrap();
    assert_eq!((refusal.code, refusal.codespace.as_str()), (6, "dseq"));
    let number = |after: &str| -> f64 {
        let (_, rest) = refusal.message.split_once(after).unwrap();
        rest.split_once(" s").unwrap().0.parse().unwrap()
    };
    let (wait, retry) = (number("this one take "), number("try again in "));
    assert!((7.5..15.0).contains(&wait) && (wait - 7.5..=wait - 6.4).contains(&retry), "{}", refusal.message);
}

#[test]
fn nodes_with_much_the_same_queue_refuse_the_same() {
    let (one, mut other) = (Network::overloaded(25), Network::overloaded(25));
    other.offer(100);
    let refused = |network: &Network| {
        let hashes = (1 << 40..(1 << 40) + 1_000_u64).map(|n| TxHash::of(&n.to_le_bytes()));
        hashes.map(|tx| network.is_refused(tx)).collect::<Vec<bool>>()
    };
    let (these, those) = (refused(&one), refused(&other));
    let count = these.iter().filter(|refused| **refused).count();
    let differ = these.iter().zip(&those).filter(|(one, other)| one != other).count();
    assert!((500..900).contains(&count) && differ < 50, "{count} refused, {differ} differ");
}

#[test]
fn a_node_whose_engine_lost_its_mempool_takes_transactions_again() {
    let mut network = Network::overloaded(25);
    network.queue.clear();
    // No block comes any more.
    for _ in 0..2 {
        network.now += Duration::from_secs(31);
        network.offer(1_000);
    }
    network.now += Duration::from_secs(31);
    let before = network.refused;
    network.offer(1_000);
    assert_eq!(network.refused, before);
}

#[test]
fn a_block_of_the_queue_follows_the_budget_up_at_once_and_down_in_small_steps() {
    let weight = AtomicU64::new(u64::MAX);
    let after = |budget| follow(&weight, budget, 16);
    assert_eq!([800, 1600, 800, 800].map(after), [800, 1600, 1500, 1407]);
    assert_eq!([800; 50].map(after)[49], 800);
}

#[test]
fn a_busy_moment_is_no_reason_for_checks_to_refuse() {
    let mut network = Network::new(25);
    network.offer(9_000);
    network.blocks(10, 1_800);
    network.least = Duration::from_millis(300);
    network.blocks(8, 600);
    assert_eq!(network.refused, 0);
    network.offer(4_000);
    assert_eq!(network.refused, 0);
}

#[test]
fn what_http_took_counts_until_it_is_with_the_engine_or_ends() {
    let network = Network::rested(25);
    let block = network.block_weight();
    let count = |weight| network.pace.count(weight, || network.now);
    // More than two and a half blocks are too many; the one that exceeds them is still taken, whatever it weighs.
    let mut counted: Vec<Counted> = (0..11).map(|_| count(block / 4).unwrap()).collect();
    assert!(count(1).is_err() && network.pace.overload(|| network.now).is_some());
    counted.pop();
    counted.push(count(200 * block).expect("what was refused, or is dropped, does not count"));
    assert!(count(1).is_err());
    assert!(!network.is_refused(TxHash::of(b"of another node")), "checks count what waits alone");
    for one in &mut counted {
        one.handed_over();
    }
    assert!(count(1).is_ok(), "the engine's check counts what it has");
    drop(counted);
    assert_eq!((network.pace.own.on_way(), network.pace.own.waiting()), (0, 0));
}

#[test]
fn a_flood_that_slows_the_first_blocks_down_is_not_refused_while_nothing_waits_long() {
    let mut network = Network::new(25);
    network.offer(3_000);
    network.blocks(20, 1_400);
    // The machine takes what comes in, and blocks are slow though they are light.
    network.least = Duration::from_millis(350);
    for _ in 0..3 {
        network.block(18_000);
    }
    assert!(network.pace.queue_of_checks() > 1.5 * QUEUE_FREE);
    assert_eq!(network.refused, 0);
    // Where it goes on, what waits has waited for long soon.
    network.blocks(20, 2_000);
    assert!(network.refused > 0);
}

#[test]
fn checks_refuse_nothing_before_there_are_as_many_blocks_as_the_budget_comes_from() {
    let mut network = Network::new(0);
    network.offer(40_000);
    // The flood takes processors from the first blocks; a small one is in time at last, when others have waited for long.
    for (block, least) in [1_000, 500, 300, 0, 0, 0, 0, 0, 0, 0].into_iter().enumerate() {
        assert_eq!(network.refused, 0, "block {block}");
        network.least = Duration::from_millis(least);
        network.block(1_000);
    }
    assert!(network.pace.queue_of_checks() > QUEUE_MAX);
    network.offer(10);
    assert_eq!(network.refused, 10);
}

/// How many sixteenths of a block a node takes over HTTP after blocks of which so many in a hundred were handed in here, if the
/// transactions of the last one had waited for so long.
fn taken_with_share(percent: u64, waited: Duration) -> usize {
    let mut network = Network::rested(25);
    let block = network.block_weight();
    for _ in 0..40 {
        let mut own = network.pace.count(block * percent / 100, || network.now).unwrap();
        own.handed_over();
        network.now += Duration::from_millis(125);
        network.pace.committed(network.now, block, []);
        own.decided();
    }
    let others: Vec<TxHash> = (0..20_u64).map(|n| TxHash::of(format!("other {n}").as_bytes())).collect();
    for tx in &others {
        network.pace.accepted(tx, TX, network.now);
    }
    network.now += waited;
    network.pace.committed(network.now, 15 * TX, others[..15].to_vec());
    assert_eq!(network.block_weight(), block);
    let count = || network.pace.count(block / 16, || network.now);
    let mut counted = Vec::new();
    while let Ok(mut one) = count() {
        one.handed_over();
        counted.push(one);
        if counted.len() == 1_000 {
            break;
        }
    }
    assert_eq!(network.pace.overload(|| network.now).is_some(), counted.len() < 1_000);
    counted.len()
}

#[test]
fn once_transactions_wait_for_long_a_node_takes_its_part_of_the_blocks() {
    let (long, short) = (Duration::from_millis(325), Duration::from_millis(275));
    // Of two and a half blocks.
    assert_eq!(taken_with_share(100, long), 40);
    assert_eq!(taken_with_share(25, long), 10);
    // It has to begin with something.
    assert!((4..=5).contains(&taken_with_share(0, long)));
    // What waits elsewhere is not known, and need not be.
    assert_eq!(taken_with_share(25, short), 1_000);
}

#[test]
fn a_refusal_by_the_own_queue_says_how_long_that_takes() {
    let mut network = Network::rested(25);
    let mut counted = network.pace.count(network.block_weight(), || network.now).unwrap();
    counted.handed_over();
    let others: Vec<TxHash> = (0..20_u64).map(|n| TxHash::of(format!("other {n}").as_bytes())).collect();
    for tx in &others {
        network.pace.accepted(tx, TX, network.now);
    }
    network.now += Duration::from_secs(1);
    network.pace.committed(network.now, network.block_weight(), others[..15].to_vec());
    let Overload { wait, wait_max } = network.pace.overload(|| network.now).unwrap();
    assert!(wait > Duration::from_secs(1), "{wait:?}");
    assert_eq!(wait_max, Duration::from_millis(375));
    drop(counted);
    assert_eq!(network.pace.overload(|| network.now), None);
}

#[test]
fn a_few_transactions_that_took_long_are_no_reason() {
    let mut network = Network::overloaded(25);
    while !network.queue.is_empty() {
        network.block(0);
    }
    let mut own = network.pace.count(network.block_weight(), || network.now).unwrap();
    own.handed_over();
    network.offer(450);
    network.now += Duration::from_secs(10);
    let few: Vec<TxHash> = network.queue.drain(..WAITED_MIN - 1).collect();
    network.decide(few, 0);
    assert_eq!(network.pace.overload(|| network.now), None);
    let more: Vec<TxHash> = network.queue.drain(..WAITED_MIN).collect();
    network.decide(more, 0);
    assert!(network.pace.overload(|| network.now).is_some());
}
