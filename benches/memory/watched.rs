//! The system's allocator with records: the number of live blocks of each size, the addresses of large ones, and, while
//! tracing is on, the line that allocated each block.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

/// Blocks up to this size are counted by size; larger ones are tables and recorded individually.
pub const SMALL_MAX: usize = 2 * 1024;

/// Live blocks of each size.
static SMALL: [AtomicI32; SMALL_MAX + 1] = [const { AtomicI32::new(0) }; SMALL_MAX + 1];
static LOOKS_CLOSELY: AtomicBool = AtomicBool::new(false);
/// Recorded blocks by address: all large ones, and those that were allocated while tracing was on.
static KNOWN: Mutex<Option<HashMap<usize, Block>>> = Mutex::new(None);

thread_local! {
    /// Set while this thread runs this module, whose own allocations are not recorded.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// An individually recorded block.
pub struct Block {
    pub bytes: usize,
    pub asked_by: Backtrace,
}

pub struct Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

// SAFETY: every call goes to the system's allocator with the same arguments; the records never touch the block.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is handed on.
        let block = unsafe { System.alloc(layout) };
        came(block as usize, layout.size());
        block
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in `alloc`. Not `alloc` and writing zeros, which would make untouched tables resident.
        let block = unsafe { System.alloc_zeroed(layout) };
        came(block as usize, layout.size());
        block
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        went(block as usize, layout.size());
        // SAFETY: `block` came from one of the others, which is the system's.
        unsafe { System.dealloc(block, layout) }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        went(block as usize, layout.size());
        // SAFETY: as in `dealloc`.
        let block = unsafe { System.realloc(block, layout, bytes) };
        came(block as usize, bytes);
        block
    }
}

fn came(address: usize, bytes: usize) {
    if let Some(live) = SMALL.get(bytes) {
        live.fetch_add(1, Ordering::Relaxed);
    }
    if bytes > SMALL_MAX || LOOKS_CLOSELY.load(Ordering::Relaxed) {
        apart(|known| {
            known.insert(address, Block { bytes, asked_by: Backtrace::force_capture() });
        });
    }
}

fn went(address: usize, bytes: usize) {
    if let Some(live) = SMALL.get(bytes) {
        live.fetch_sub(1, Ordering::Relaxed);
    }
    apart(|known| {
        known.remove(&address);
    });
}

/// Calls `work` with the recorded blocks, unless this thread is already inside this module.
fn apart(work: impl FnOnce(&mut HashMap<usize, Block>)) {
    // A thread that ends no longer has the flag; blocks that it frees then do not matter.
    let was_inside = INSIDE.try_with(|inside| inside.replace(true)).unwrap_or(true);
    if !was_inside {
        work(KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(HashMap::new));
        INSIDE.with(|inside| inside.set(false));
    }
}

/// Live blocks of each size up to [`SMALL_MAX`].
pub fn live() -> Vec<i32> {
    let mut blocks = Vec::new();
    apart(|_| blocks = SMALL.iter().map(|live| live.load(Ordering::Relaxed)).collect());
    blocks
}

/// Turns tracing on or off: the recording of the line that allocates each block.
pub fn look_closely(on: bool) {
    LOOKS_CLOSELY.store(on, Ordering::Relaxed);
}

/// Calls `look` for each recorded live block. Allocations of `look` are not recorded.
pub fn known(mut look: impl FnMut(usize, &Block)) {
    apart(|known| known.iter().for_each(|(address, block)| look(*address, block)));
}
