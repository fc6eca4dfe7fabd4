//! A test program that includes this module runs on an allocator that counts.

use ringlay_dataplane::sys::counting::CountingAllocator;
pub(crate) use ringlay_dataplane::sys::counting::allocations;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
