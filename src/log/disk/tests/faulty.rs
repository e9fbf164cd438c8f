//! A device that fails on command, and that remembers what a power loss would leave.
//!
//! It is a SQLite VFS around the default one, which sees each write and sync of a database and its write-ahead log. A
//! sync that succeeds copies the pages written since the last one into the *durable image*. A sync that fails marks
//! these pages as written, as Linux does, so the next sync succeeds without them; some of them may reach the image all
//! the same, as on a real device. A power loss leaves the image.
//!
//! This is the only unsafe code of the log, and only tests use it.

use rusqlite::ffi;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, Once};

/// The name of the VFS, for [`crate::log::disk::Options`].
pub(super) const VFS: &str = "volley-faulty";

const PAGE: usize = 4_096;

/// The faults of one directory.
#[derive(Default)]
pub(super) struct Faults {
    directory: PathBuf,
    /// The number of syncs that will fail, of files whose name ends with `sync_of`.
    pub(super) failing_syncs: AtomicUsize,
    pub(super) sync_of: Mutex<&'static str>,
    /// Writes fail for lack of space.
    pub(super) is_full: AtomicBool,
    /// For each of the next failed syncs: the image receives every n-th page, or no page if n is 0 or the list is
    /// empty.
    pub(super) torn_every: Mutex<VecDeque<usize>>,
    pub(super) syncs: AtomicUsize,
    /// Syncs wait while the gate is closed.
    gate: (Mutex<bool>, Condvar),
    image: Mutex<HashMap<String, Image>>,
}

#[derive(Default)]
struct Image {
    bytes: Vec<u8>,
    dirty: BTreeSet<usize>,
}

static ALL: LazyLock<Mutex<Vec<Arc<Faults>>>> = LazyLock::new(Mutex::default);

/// An open file: the default VFS's methods, the faults of its directory, its name.
struct Entry {
    methods: usize,
    faults: Arc<Faults>,
    name: String,
}
static FILES: LazyLock<Mutex<HashMap<usize, Entry>>> = LazyLock::new(Mutex::default);

impl Faults {
    /// Watches the databases of a directory. Their current content counts as durable.
    pub(super) fn watch(directory: &Path) -> Arc<Self> {
        static REGISTER: Once = Once::new();
        REGISTER.call_once(register);
        let mut image = HashMap::new();
        for file in std::fs::read_dir(directory).unwrap() {
            let file = file.unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            image.insert(file.file_name().into_string().unwrap(), Image { bytes, dirty: BTreeSet::new() });
        }
        let faults = Arc::new(Self {
            directory: directory.to_owned(),
            sync_of: Mutex::new("-wal"),
            image: Mutex::new(image),
            ..Self::default()
        });
        ALL.lock().unwrap().push(faults.clone());
        faults
    }

    pub(super) fn close_gate(&self) {
        *self.gate.0.lock().unwrap() = true;
    }

    pub(super) fn open_gate(&self) {
        *self.gate.0.lock().unwrap() = false;
        self.gate.1.notify_all();
    }

    /// Writes what a power loss would leave now into `directory`. The side file is assumed to be on the device.
    pub(super) fn power_loss(&self, directory: &Path) {
        std::fs::create_dir(directory).unwrap();
        for (name, image) in self.image.lock().unwrap().iter() {
            if name.starts_with("volley.db") && !name.ends_with("-shm") {
                std::fs::write(directory.join(name), &image.bytes).unwrap();
            }
        }
        std::fs::copy(self.directory.join("volley.heads"), directory.join("volley.heads")).unwrap();
    }

    fn on_write(&self, name: &str, from: usize, count: usize) {
        let mut images = self.image.lock().unwrap();
        let image = images.entry(name.to_owned()).or_default();
        image.dirty.extend(from / PAGE..=(from + count.max(1) - 1) / PAGE);
    }

    /// Whether the sync succeeds.
    fn on_sync(&self, name: &str) -> bool {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        let mut closed = self.gate.0.lock().unwrap();
        while *closed {
            closed = self.gate.1.wait(closed).unwrap();
        }
        drop(closed);
        let one_less = |left: usize| left.checked_sub(1);
        let is_meant = name.ends_with(*self.sync_of.lock().unwrap());
        let fails = is_meant && self.failing_syncs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        let every = if fails { self.torn_every.lock().unwrap().pop_front().unwrap_or(0) } else { 1 };
        let bytes = std::fs::read(self.directory.join(name)).unwrap();
        let mut images = self.image.lock().unwrap();
        let image = images.entry(name.to_owned()).or_default();
        if !fails {
            image.bytes.resize(bytes.len(), 0);
        }
        for (at, page) in std::mem::take(&mut image.dirty).into_iter().enumerate() {
            let (begin, end) = (page * PAGE, ((page + 1) * PAGE).min(bytes.len()));
            if every > 0 && at % every == 0 && begin < end {
                if image.bytes.len() < end {
                    image.bytes.resize(end, 0);
                }
                image.bytes[begin..end].copy_from_slice(&bytes[begin..end]);
            }
        }
        !fails
    }
}

fn register() {
    // SAFETY: the default VFS lives as long as the process; this VFS is a copy of it that is never freed.
    unsafe {
        let default = ffi::sqlite3_vfs_find(std::ptr::null());
        assert!(!default.is_null());
        let mut ours = std::ptr::read(default);
        ours.zName = c"volley-faulty".as_ptr();
        ours.pNext = std::ptr::null_mut();
        ours.xOpen = Some(open);
        assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 0), ffi::SQLITE_OK);
    }
}

// SAFETY: SQLite calls this function with the arguments that it would give to the default VFS's.
unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's arguments are handed on to the default VFS; the methods of an open file are replaced by a copy
    // that is never freed.
    unsafe {
        let default = ffi::sqlite3_vfs_find(std::ptr::null());
        let code = ((*default).xOpen.unwrap())(default, name, file, flags, out);
        if code != ffi::SQLITE_OK || name.is_null() {
            return code;
        }
        let path = PathBuf::from(CStr::from_ptr(name as *const c_char).to_str().unwrap());
        let Some(faults) = ALL.lock().unwrap().iter().find(|one| path.starts_with(&one.directory)).cloned() else {
            return code;
        };
        let methods = (*file).pMethods;
        let mut ours = std::ptr::read(methods);
        ours.xWrite = Some(write);
        ours.xSync = Some(sync);
        ours.xTruncate = Some(truncate);
        ours.xClose = Some(close);
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        FILES.lock().unwrap().insert(file as usize, Entry { methods: methods as usize, faults, name });
        (*file).pMethods = Box::leak(Box::new(ours));
        code
    }
}

fn entry(file: *mut ffi::sqlite3_file) -> (*const ffi::sqlite3_io_methods, Arc<Faults>, String) {
    let files = FILES.lock().unwrap();
    let entry = &files[&(file as usize)];
    (entry.methods as *const _, entry.faults.clone(), entry.name.clone())
}

// SAFETY: SQLite calls this function with the arguments that it would give to the default VFS's.
unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, count: c_int, at: i64) -> c_int {
    let (methods, faults, name) = entry(file);
    if faults.is_full.load(Ordering::SeqCst) {
        return ffi::SQLITE_FULL;
    }
    faults.on_write(&name, at as usize, count as usize);
    // SAFETY: `methods` are the default VFS' own for this open file; the arguments are SQLite's.
    unsafe { ((*methods).xWrite.unwrap())(file, from, count, at) }
}

// SAFETY: SQLite calls this function with the arguments that it would give to the default VFS's.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let (methods, faults, name) = entry(file);
    if !faults.on_sync(&name) {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // SAFETY: as in `write`.
    unsafe { ((*methods).xSync.unwrap())(file, flags) }
}

// SAFETY: SQLite calls this function with the arguments that it would give to the default VFS's.
unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    let (methods, ..) = entry(file);
    // SAFETY: as in `write`.
    unsafe { ((*methods).xTruncate.unwrap())(file, size) }
}

// SAFETY: SQLite calls this function with the arguments that it would give to the default VFS's.
unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let found = FILES.lock().unwrap().remove(&(file as usize)).unwrap();
    // SAFETY: as in `write`; the default VFS gets its own methods back before it closes the file.
    unsafe {
        (*file).pMethods = found.methods as *const _;
        ((*(*file).pMethods).xClose.unwrap())(file)
    }
}
