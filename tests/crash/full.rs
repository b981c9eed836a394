//! Disks that are really full and writes that are really cut short, without strace's pretending.
//!
//! A limit on the length of files (RLIMIT_FSIZE) cuts a write short at any chosen byte; the next one ends in SIGXFSZ
//! or, where that is ignored, in EFBIG. A small file system of its own, where it may be mounted, runs full.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::process::{Place, Process, scratch};
use super::scenario::{Golden, each};
use super::strace;
use super::support::consensus::Progress;

const ENTRY_BYTES: usize = 88;
const SLOT_BYTES: usize = 8192;

/// One commit that meets the limit: in which file, and what is there of that file afterwards.
#[derive(Clone, Debug)]
struct Torn {
    height: i64,
    limit: usize,
    file: &'static str,
    /// Length of the file, where a torn write shows in it.
    length: Option<usize>,
}

/// For each block, limits before the first byte of each write, after it, in the middle and before the last one.
fn torn_commits() -> Vec<Torn> {
    let golden = Golden::get();
    let mut torn = Vec::new();
    for height in 1..golden.lengths.len() {
        let (lengths, counts) = (&golden.lengths[height - 1..=height], &golden.counts[height - 1..=height]);
        // The empty log is in the first slot.
        let slot = SLOT_BYTES * (height % 2);
        let mut writes = vec![("commit", slot, slot + SLOT_BYTES)];
        if counts[1] > counts[0] {
            writes.insert(0, ("records", counts[0] * ENTRY_BYTES, counts[1] * ENTRY_BYTES));
            writes.insert(0, ("sequence.bin", lengths[0], lengths[1]));
        }
        let limits =
            writes.iter().flat_map(|(_, start, end)| [*start, start + 1, (start + end) / 2, end - 1]);
        for limit in limits {
            let (file, start, _) =
                *writes.iter().find(|(_, _, end)| *end > limit).expect("it is in one of them");
            let length = (file != "commit").then_some(start.max(limit));
            torn.push(Torn { height: i64::try_from(height).unwrap(), limit, file, length });
        }
    }
    torn
}

#[test]
fn a_write_cut_short_at_any_byte_is_not_counted() {
    let torn = torn_commits();
    for (file, least) in [("sequence.bin", 15), ("records", 2), ("commit", 8)] {
        let count = torn.iter().filter(|torn| torn.file == file).count();
        assert!(count >= least, "only {count} commits are torn in {file}");
    }
    each(&torn, |torn| {
        for is_killed in [true, false] {
            tear(torn, is_killed);
        }
    });
}

fn tear(torn: &Torn, is_killed: bool) {
    let golden = Golden::get();
    let place = Place::new();
    let mut process =
        if is_killed { Process::start(&place) } else { Process::start_ignoring_sigxfsz(&place) };
    let mut client = process.connect().unwrap();
    let mut progress = Progress::default();
    golden.chain.try_follow(&mut client, torn.height - 1, &mut progress).unwrap();
    process.limit_files(u64::try_from(torn.limit).unwrap());
    let after = format!("{torn:?}");
    golden.chain.try_replay(&mut client, torn.height, &mut progress).expect_err(&after);
    assert_eq!(progress, Progress { answered: torn.height - 1, sent: torn.height }, "{after}");
    let ended = process.ended();
    if is_killed {
        assert!(ended.was_killed_by(Signal::XFSZ), "{after}: {ended:?}");
    } else {
        assert_eq!(ended.status.code(), Some(1), "{after}: {ended:?}");
        let path = place.sequence_dir().join(torn.file);
        for words in [&*path.to_string_lossy(), "File too large", "raise the limit on the length of files"] {
            assert!(ended.words.contains(words), "{after}: {ended:?}");
        }
    }
    if let Some(length) = torn.length {
        let found = std::fs::metadata(place.sequence_dir().join(torn.file)).unwrap().len();
        assert_eq!(found, u64::try_from(length).unwrap(), "{after}: the write was cut short");
    }
    golden.assert_recovers(&place, progress, &after);
}

/// A file system of a few MiB in a file, mounted for as long as this lives.
struct SmallDisk {
    mounted: PathBuf,
}

impl SmallDisk {
    /// `None` where it may not be made or mounted, which is said.
    fn new() -> Option<Self> {
        let (image, mounted) = (scratch().join("disk.img"), scratch().join("disk"));
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(16 << 20).unwrap();
        std::fs::create_dir(&mounted).unwrap();
        let run = |program: &str, arguments: &[&Path]| {
            let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
            let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            if output.status.success() { Ok(()) } else { Err(words) }
        };
        // Root's reserve would let a node that runs as root write on a full disk.
        let made = run(
            "mkfs.ext4",
            &["-q", "-m", "0"].map(Path::new).into_iter().chain([&*image]).collect::<Vec<_>>(),
        );
        let mount = || run("mount", &[Path::new("-o"), Path::new("loop"), &image, &mounted]);
        match made.and_then(|()| mount()) {
            Ok(()) => Some(Self { mounted }),
            Err(words) => {
                strace::say(&format!(
                    "SKIPPED: no disk was filled, because none can be mounted here: {words}"
                ));
                None
            }
        }
    }

    /// Fills the disk but for so many bytes. Removing the file makes room again.
    fn fill(&self, but_for: u64) -> PathBuf {
        let path = self.mounted.join("filler");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for chunk in [1 << 16, 1 << 10] {
            while file.write_all(&vec![1; chunk]).is_ok() {}
        }
        file.sync_all().unwrap();
        file.set_len(file.metadata().unwrap().len().saturating_sub(but_for)).unwrap();
        file.sync_all().unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let ended = Command::new("umount").arg(&self.mounted).status();
        if !ended.is_ok_and(|status| status.success()) {
            strace::say(&format!("{} is still mounted", self.mounted.display()));
        }
    }
}

#[test]
fn a_disk_that_runs_full_stops_the_node_and_room_on_it_is_all_it_needs() {
    let Some(disk) = SmallDisk::new() else { return };
    let golden = Golden::get();
    for but_for in [0, 4 << 10, 100 << 10, 200 << 10, 290 << 10] {
        let place = Place::at(&disk.mounted);
        let mut process = Process::start(&place);
        let mut client = process.connect().unwrap();
        let mut progress = Progress::default();
        golden.chain.try_follow(&mut client, 2, &mut progress).unwrap();
        let filler = disk.fill(but_for);
        let after = format!("a disk full but for {but_for} bytes");
        golden.chain.try_follow(&mut client, 3, &mut progress).expect_err(&after);
        let ended = process.ended();
        assert_eq!(ended.status.code(), Some(1), "{after}: {ended:?}");
        for words in ["/sequence/", "No space left on device", "free some space, then start again"] {
            assert!(ended.words.contains(words), "{after}: {ended:?}");
        }
        // A start on the full disk may work or not; it must not make things worse.
        let mut process = Process::start(&place);
        if process.connect().is_ok() {
            process.terminate();
        }
        let ended = process.ended();
        assert!(matches!(ended.status.code(), Some(0 | 1)), "{after}, started again: {ended:?}");
        std::fs::remove_file(filler).unwrap();
        golden.assert_recovers(&place, progress, &after);
        std::fs::remove_dir_all(&place.home).unwrap();
    }
}
