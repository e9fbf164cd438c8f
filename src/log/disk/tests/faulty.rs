//! A device that fails on command, and that keeps what a power loss would leave.
//!
//! A SQLite VFS around the ordinary one. It sees each write and sync of a database and its write-ahead log. A sync that
//! succeeds takes the pages that were written since into the *durable image*; one that fails forgets that they were written, as Linux
//! does (the next sync succeeds and says nothing of them), and takes a part of them all the same, as a device may have. What
//! a power loss leaves is the image.
//!
//! The only unsafe code of the log, in tests alone.

use rusqlite::ffi;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, Once};

/// Its name for [`crate::log::disk::Options`].
pub(super) const VFS: &str = "volley-faulty";

const PAGE: usize = 4_096;

/// The faults of one directory.
#[derive(Default)]
pub(super) struct Faults {
    directory: PathBuf,
    /// So many syncs of files whose name ends with `sync_of` fail from now on.
    pub(super) failing_syncs: AtomicUsize,
    pub(super) sync_of: Mutex<&'static str>,
    /// Writes find no space.
    pub(super) is_full: AtomicBool,
    /// Of the pages in the next failed syncs the image takes each n-th; 0, and when there is no entry: none.
    pub(super) torn_every: Mutex<VecDeque<usize>>,
    pub(super) syncs: AtomicUsize,
    /// Syncs wait while it is closed.
    gate: (Mutex<bool>, Condvar),
    image: Mutex<HashMap<String, Image>>,
}

#[derive(Default)]
struct Image {
    bytes: Vec<u8>,
    dirty: BTreeSet<usize>,
}

static ALL: LazyLock<Mutex<Vec<Arc<Faults>>>> = LazyLock::new(Mutex::default);

/// Open files by address: the ordinary methods, whose faults, the file's name.
struct Entry {
    methods: usize,
    faults: Arc<Faults>,
    name: String,
}
static FILES: LazyLock<Mutex<HashMap<usize, Entry>>> = LazyLock::new(Mutex::default);

impl Faults {
    /// Watches the databases of a directory, whose files are durable as they are.
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

    /// Puts what a power loss would leave now into `directory`. The side file was written by the operating system just now.
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
    // SAFETY: the default VFS lives as long as the process; ours is a copy of it that is never freed.
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

// SAFETY: SQLite calls it with the arguments that its own functions of this place get.
unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: called by SQLite with what it would give the default VFS, to which it is handed on; the methods of an open file are
    // replaced by a copy that is never freed.
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

// SAFETY: SQLite calls it with the arguments that its own functions of this place get.
unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, count: c_int, at: i64) -> c_int {
    let (methods, faults, name) = entry(file);
    if faults.is_full.load(Ordering::SeqCst) {
        return ffi::SQLITE_FULL;
    }
    faults.on_write(&name, at as usize, count as usize);
    // SAFETY: `methods` are the default VFS' own for this open file; the arguments are SQLite's.
    unsafe { ((*methods).xWrite.unwrap())(file, from, count, at) }
}

// SAFETY: SQLite calls it with the arguments that its own functions of this place get.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let (methods, faults, name) = entry(file);
    if !faults.on_sync(&name) {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    // SAFETY: as in `write`.
    unsafe { ((*methods).xSync.unwrap())(file, flags) }
}

// SAFETY: SQLite calls it with the arguments that its own functions of this place get.
unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    let (methods, ..) = entry(file);
    // SAFETY: as in `write`.
    unsafe { ((*methods).xTruncate.unwrap())(file, size) }
}

// SAFETY: SQLite calls it with the arguments that its own functions of this place get.
unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let found = FILES.lock().unwrap().remove(&(file as usize)).unwrap();
    // SAFETY: as in `write`; the default VFS gets its own methods back before it closes the file.
    unsafe {
        (*file).pMethods = found.methods as *const _;
        ((*(*file).pMethods).xClose.unwrap())(file)
    }
}
