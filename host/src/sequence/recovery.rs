//! Opening the log: what a crash may have left, and what it may not.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dseq_format::entry::Entry;
use dseq_format::records_root::RecordsFrontier;

use super::SEQUENCE_FILE;
use super::chain::{CHAIN_FILE, Chain};
use super::commit_record::{CommitRecord, SLOT_BYTES, SLOT_LEN, Slot};
use super::files::{self, IoError, LogFile};
use super::head::Head;
use super::log::{Log, OnStep};
use super::reader::{Committed, Shared};
use crate::types::{AppHash, PipelineId, RecordHash};

const COMMIT_FILE: &str = "commit";
const RECORDS_FILE: &str = "records";
const LOCK_FILE: &str = "LOCK";

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("{0}; {remedy}", remedy = .0.remedy())]
    Io(#[from] IoError),
    /// Another process writes here.
    #[error(
        "{path} is locked by another process ({holder}); a log has one writer: stop that node first",
        path = path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process id it names, as text.
        holder: String,
    },
    /// There is no log here at all.
    #[error("there is no log in {dir}: its commit file is missing; start the node once, or name another home", dir = dir.display())]
    NoLog {
        /// The folder.
        dir: PathBuf,
    },
    /// Data without the file that says how much of it is true.
    #[error(
        "{path} has {found} bytes but there is no commit file beside it, so how much of them is committed is \
         unknown; restore the folder from a copy, or move it away to replay the whole chain",
        path = path.display()
    )]
    CommitFileMissing {
        /// The data file.
        path: PathBuf,
        /// Its length.
        found: u64,
    },
    /// Neither slot of the commit record is whole.
    #[error(
        "neither commit record in {path} is whole, which no crash of this program leaves behind; restore the \
         folder from a copy, or move it away to replay the whole chain",
        path = path.display()
    )]
    NoWholeSlot {
        /// The commit file.
        path: PathBuf,
    },
    /// A file lost bytes that were durable.
    #[error(
        "{path} has {found} bytes, but {committed} were committed: the disk lost data; restore the folder from a \
         copy, or move it away to replay the whole chain",
        path = path.display()
    )]
    DataLost {
        /// The data file.
        path: PathBuf,
        /// Bytes promised.
        committed: u64,
        /// Bytes there.
        found: u64,
    },
    /// The last block's records are not what was committed.
    #[error(
        "record {index} in {dir} is damaged ({what}); restore the folder from a copy, or move it away to replay \
         the whole chain",
        dir = dir.display()
    )]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// The first damaged record.
        index: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// The node's own copy of the rules cannot be read.
    #[error("{path} is damaged: its hash does not fit; restore it from a copy", path = path.display())]
    ChainDamaged {
        /// The file.
        path: PathBuf,
    },
    /// Blocks without the rules they were made under.
    #[error("{path} is missing, but {height} blocks are committed; restore it from a copy", path = path.display())]
    ChainMissing {
        /// The file.
        path: PathBuf,
        /// Height of the last committed block.
        height: u64,
    },
}

impl Log {
    /// Opens the log in `dir`, making a new one if the folder is empty or absent. First everything is looked at;
    /// only a log that can be recovered is changed.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; nothing is changed on disk unless the log could be recovered.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(dir).map_err(IoError::of("create the folder", dir))?;
        let lock = lock(dir)?;
        let commit_path = dir.join(COMMIT_FILE);
        if !commit_path.try_exists().map_err(IoError::of("look for", &commit_path))? {
            create(dir)?;
        }
        let commit_file = LogFile::open(commit_path, false)?;
        let (mut record, slot) = newest_record(&commit_file)?;
        let (length, entries_length) = (record.head.length(), Entry::place(record.head.count()));
        let sequence = open_data(dir.join(SEQUENCE_FILE), length)?;
        let records = open_data(dir.join(RECORDS_FILE), entries_length)?;
        restore_last_chunk(dir, &sequence, &mut record.head)?;
        verify_tail(dir, &sequence, &records, &record)?;
        let chain = read_chain(dir, &record.head)?;

        trim(&sequence, length)?;
        trim(&records, entries_length)?;
        // Files and folder may have been made just now, or by a process that was killed before it synced their names.
        files::sync_dir(dir)?;
        files::sync_name(dir)?;
        // After a failed sync the page cache may show a slot the disk does not have. Writing it again makes what this
        // process is about to promise true; torn by a crash, it leaves the older slot, which is merely behind.
        commit_file.write_at(&record.encode(), slot.offset())?;
        commit_file.sync()?;

        let shared = Arc::new(Shared::new(sequence, records, Committed::of(&record)));
        let dir = dir.to_owned();
        Ok(Self {
            dir,
            commit_file,
            record,
            slot,
            chain,
            shared,
            poisoned: false,
            on_step: OnStep::default(),
            _lock: lock,
        })
    }
}

/// The end of the committed sequence in `dir`, also while another process has the log open.
///
/// # Errors
///
/// When there is no readable commit record in `dir`.
pub fn committed_head(dir: &Path) -> Result<Head, OpenError> {
    let path = dir.join(COMMIT_FILE);
    let file = files::read_if_present(&path)?.ok_or_else(|| OpenError::NoLog { dir: dir.to_owned() })?;
    let (record, _) = CommitRecord::newest(&file).ok_or(OpenError::NoWholeSlot { path })?;
    Ok(record.head)
}

/// Length of the committed sequence in `dir`, in bytes.
///
/// # Errors
///
/// As [`committed_head`].
pub fn committed_length(dir: &Path) -> Result<u64, OpenError> {
    Ok(committed_head(dir)?.length())
}

/// The chain that a log in `dir` is of, from its own copy of the rules; none: it has not begun, or the copy is damaged.
///
/// # Errors
///
/// When the copy cannot be read.
pub fn chain_of(dir: &Path) -> Result<Option<Chain>, OpenError> {
    let file = files::read_if_present(&dir.join(CHAIN_FILE))?;
    Ok(file.and_then(|file| Chain::decode(&file)))
}

/// Takes the lock; the system frees it when the process ends, however it ends.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK_FILE);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(IoError::of("open", &path))?;
    match file.try_lock() {
        Ok(()) => {
            // The process id is for people; the lock does not depend on it, so a full disk is no reason to fail.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "unknown" } else { holder.trim() };
            Err(OpenError::Locked { path, holder: format!("process {holder}") })
        }
        Err(std::fs::TryLockError::Error(err)) => Err(IoError::of("lock", &path)(err).into()),
    }
}

/// Makes an empty log. The commit file comes last and at once: where it exists, all files do.
fn create(dir: &Path) -> Result<(), OpenError> {
    for name in [SEQUENCE_FILE, RECORDS_FILE] {
        let file = LogFile::open(dir.join(name), true)?;
        let found = file.len()?;
        if found > 0 {
            return Err(OpenError::CommitFileMissing { path: file.path().to_owned(), found });
        }
    }
    let empty = CommitRecord {
        head: Head::default(),
        app_hash: AppHash::default(),
        pipeline: PipelineId::default(),
        tail_records: RecordsFrontier::default(),
    };
    let mut slots = empty.encode();
    slots.extend_from_slice(&[0; SLOT_LEN]);
    Ok(files::replace(&dir.join(COMMIT_FILE), &slots)?)
}

fn newest_record(commit_file: &LogFile) -> Result<(CommitRecord, Slot), OpenError> {
    let mut slots = Vec::new();
    let present = commit_file.len()?.min(2 * SLOT_BYTES);
    slots.resize(usize::try_from(present).unwrap_or(0), 0);
    commit_file.read_at(&mut slots, 0)?;
    let newest = CommitRecord::newest(&slots);
    let (record, slot) =
        newest.ok_or_else(|| OpenError::NoWholeSlot { path: commit_file.path().to_owned() })?;
    warn_of_broken_slot(commit_file, &slots, &record, slot.other());
    Ok((record, slot))
}

/// Says that the other slot was written but is not whole. A crash within Commit leaves that behind, and nothing that was
/// answered for is lost then; a damaged disk does too.
fn warn_of_broken_slot(commit_file: &LogFile, slots: &[u8], record: &CommitRecord, other: Slot) {
    let start = usize::try_from(other.offset()).unwrap_or(usize::MAX);
    let Some(slot) = slots.get(start..).map(|rest| &rest[..rest.len().min(SLOT_LEN)]) else { return };
    if slot.iter().all(|byte| *byte == 0) || CommitRecord::decode(slot).is_some() {
        return;
    }
    let broken = CommitRecord::claimed_height(slot).map(|height| height.0);
    tracing::warn!(
        path = %commit_file.path().display(),
        height = record.head.height().0,
        broken,
        "one of the two commit records is not whole, after a crash while it was written or because the disk is damaged; \
         going on from the other one's height, and CometBFT sends again what comes after it"
    );
}

/// Opens a data file that must hold at least what was committed.
fn open_data(path: PathBuf, committed: u64) -> Result<LogFile, OpenError> {
    let is_missing = !path.try_exists().map_err(IoError::of("look for", &path))?;
    if is_missing && committed > 0 {
        return Err(OpenError::DataLost { path, committed, found: 0 });
    }
    let file = LogFile::open(path, is_missing)?;
    let found = file.len()?;
    if found < committed {
        return Err(OpenError::DataLost { path: file.path().to_owned(), committed, found });
    }
    Ok(file)
}

/// Cuts off what a crash left behind the committed length.
fn trim(file: &LogFile, committed: u64) -> Result<(), OpenError> {
    if file.len()? > committed {
        file.truncate(committed)?;
        file.sync()?;
    }
    Ok(())
}

fn restore_last_chunk(dir: &Path, sequence: &LogFile, head: &mut Head) -> Result<(), OpenError> {
    let length = head.bytes.last_chunk_len();
    let mut chunk = vec![0; usize::try_from(length).unwrap_or(0)];
    sequence.read_at(&mut chunk, head.bytes.last_chunk_start())?;
    head.bytes.restore_last_chunk(chunk).map_err(|_| OpenError::Damaged {
        dir: dir.to_owned(),
        index: head.count(),
        what: "the commit record's frontier does not fit its length",
    })
}

/// Reads the last block's entries back and checks them against their root, then its bytes against the entries.
fn verify_tail(
    dir: &Path,
    sequence: &LogFile,
    records: &LogFile,
    record: &CommitRecord,
) -> Result<(), OpenError> {
    let damaged = |index, what| OpenError::Damaged { dir: dir.to_owned(), index, what };
    let first = record.tail_records.count();
    let mut frontier = record.tail_records.clone();
    let mut entries = Vec::new();
    for index in first..record.head.count() {
        let mut encoded = Entry::buffer();
        records.read_at(&mut encoded, Entry::place(index))?;
        frontier.append(&encoded);
        entries.push((index, Entry::decode(&encoded)));
    }
    if frontier != record.head.records {
        return Err(damaged(first, "the last block's entries do not have the committed root"));
    }
    // From here on the entries are what was committed: their lengths are those of real records.
    for (index, entry) in entries {
        let mut bytes =
            vec![0; usize::try_from(entry.length).expect("a record was in memory when it was committed")];
        sequence.read_at(&mut bytes, entry.offset.0)?;
        if RecordHash::of(&bytes) != entry.record_hash {
            return Err(damaged(index, "its bytes do not have the hash in its entry"));
        }
    }
    Ok(())
}

fn read_chain(dir: &Path, head: &Head) -> Result<Option<Chain>, OpenError> {
    let path = dir.join(CHAIN_FILE);
    match files::read_if_present(&path)? {
        Some(file) => match Chain::decode(&file) {
            Some(chain) => Ok(Some(chain)),
            None => Err(OpenError::ChainDamaged { path }),
        },
        None if head.height().0 == 0 => Ok(None),
        None => Err(OpenError::ChainMissing { path, height: head.height().0 }),
    }
}
