//! When the kernel is entered for a socket's rings.
//!
//! It says by their flags what it does not do by itself (XDP_USE_NEED_WAKEUP, the kernel's
//! `Documentation/networking/af_xdp.rst`). In copy mode it sends from within the call, a few packets
//! each time. With zero-copy a call has the device's driver run soon, elsewhere, and more calls do
//! no more.

use std::io;

use super::ring::Producer;
use super::socket::Copying;

/// The kernel's side of a socket.
pub(super) trait Kernel {
    /// Sends what is in the transmit ring, or has it sent.
    fn send(&self) -> io::Result<()>;

    /// Has the device's driver look at the fill ring.
    fn receive(&self) -> io::Result<()>;
}

/// Enters the kernel to send as often as it takes: until all is sent, or no more can be now.
/// `complete` takes back what is sent, and says how much that was.
///
/// Returns the number of system calls.
///
/// # Errors
///
/// What the kernel says, but for what passes.
#[inline]
pub(super) fn send<T: Copy>(
    kernel: &impl Kernel,
    copying: Copying,
    ring: &Producer<T>,
    mut complete: impl FnMut() -> usize,
) -> io::Result<u64> {
    let mut calls = 0;
    while ring.needs_wakeup() && ring.waiting() > 0 {
        calls += 1;
        let before = ring.waiting();
        match kernel.send() {
            Err(error) if !is_transient(&error) => return Err(error),
            _ if copying == Copying::ZeroCopy => break,
            // The completion ring may be full, and a queue nobody sends by takes nothing, in silence.
            _ if ring.waiting() == before && complete() == 0 => break,
            _ => {}
        }
    }
    Ok(calls)
}

/// Enters the kernel if it does not look at the fill ring by itself, and something is there.
///
/// Returns the number of system calls.
///
/// # Errors
///
/// What the kernel says, but for what passes.
#[inline]
pub(super) fn receive(kernel: &impl Kernel, ring: &Producer<u64>) -> io::Result<u64> {
    if !ring.needs_wakeup() || ring.waiting() == 0 {
        return Ok(0);
    }
    match kernel.receive() {
        Err(error) if !is_transient(&error) => Err(error),
        _ => Ok(1),
    }
}

/// Whether the kernel has done a part, or does it soon.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR)
    )
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::super::ring::tests::{pair_of, set_wakeup};
    use super::super::ring::{Consumer, Producer};
    use super::*;

    const SIZE: u32 = 64;

    /// Takes so many entries at each call, and says so much.
    struct Fake {
        ring: RefCell<Consumer<u64>>,
        takes: usize,
        says: Option<i32>,
        calls: Cell<u64>,
    }

    impl Fake {
        fn enter(&self) -> io::Result<()> {
            self.calls.set(self.calls.get() + 1);
            assert!(self.calls.get() <= u64::from(SIZE), "it spins");
            let mut ring = self.ring.borrow_mut();
            let _ = std::iter::from_fn(|| ring.pop()).take(self.takes).count();
            ring.release();
            self.says
                .map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
        }
    }

    impl Kernel for Fake {
        fn send(&self) -> io::Result<()> {
            self.enter()
        }

        fn receive(&self) -> io::Result<()> {
            self.enter()
        }
    }

    /// A ring of which all entries wait for the kernel, which asks to be entered.
    fn full(takes: usize, says: Option<i32>) -> (Producer<u64>, Fake) {
        let (mut producer, consumer) = pair_of(SIZE);
        while producer.push(0) {}
        producer.publish();
        set_wakeup(&producer, true);
        let kernel = Fake {
            ring: RefCell::new(consumer),
            takes,
            says,
            calls: Cell::new(0),
        };
        (producer, kernel)
    }

    fn sent(copying: Copying, takes: usize, says: Option<i32>) -> (io::Result<u64>, u32) {
        let (ring, kernel) = full(takes, says);
        let calls = send(&kernel, copying, &ring, || 0);
        (calls, ring.waiting())
    }

    #[test]
    fn copies_are_made_until_all_are() {
        let (calls, left) = sent(Copying::Copy, 32, None);
        assert_eq!((calls.unwrap(), left), (2, 0));
        let (calls, left) = sent(Copying::Copy, 16, Some(libc::EAGAIN));
        assert_eq!((calls.unwrap(), left), (4, 0));
    }

    #[test]
    fn nobody_spins_on_a_ring_that_stays_full() {
        for copying in [Copying::Copy, Copying::ZeroCopy] {
            for says in [None, Some(libc::EAGAIN), Some(libc::ENOBUFS)] {
                let (calls, left) = sent(copying, 0, says);
                assert_eq!((calls.unwrap(), left), (1, SIZE), "{copying:?}, {says:?}");
            }
        }
    }

    #[test]
    fn copies_go_on_while_others_complete() {
        let (ring, kernel) = full(0, Some(libc::EAGAIN));
        let mut done = [3, 1, 0].into_iter();
        let calls = send(&kernel, Copying::Copy, &ring, || done.next().unwrap());
        assert_eq!(calls.unwrap(), 3);
    }

    #[test]
    fn a_device_that_sends_by_itself_is_woken_once() {
        for says in [None, Some(libc::EAGAIN), Some(libc::EBUSY)] {
            let (calls, left) = sent(Copying::ZeroCopy, 8, says);
            assert_eq!((calls.unwrap(), left), (1, SIZE - 8), "{says:?}");
        }
    }

    #[test]
    fn the_kernel_is_entered_only_if_it_asks_and_there_is_something() {
        let (ring, kernel) = full(SIZE as usize, None);
        set_wakeup(&ring, false);
        assert_eq!(send(&kernel, Copying::ZeroCopy, &ring, || 0).unwrap(), 0);
        assert_eq!(receive(&kernel, &ring).unwrap(), 0);
        set_wakeup(&ring, true);
        assert_eq!(receive(&kernel, &ring).unwrap(), 1);
        assert_eq!(ring.waiting(), 0);
        assert_eq!(receive(&kernel, &ring).unwrap(), 0);
        assert_eq!(send(&kernel, Copying::Copy, &ring, || 0).unwrap(), 0);
        assert_eq!(kernel.calls.get(), 1);
    }

    #[test]
    fn what_does_not_pass_is_told() {
        for copying in [Copying::Copy, Copying::ZeroCopy] {
            let (calls, left) = sent(copying, 0, Some(libc::ENETDOWN));
            let error = calls.unwrap_err().raw_os_error();
            assert_eq!((error, left), (Some(libc::ENETDOWN), SIZE));
        }
        let (ring, kernel) = full(0, Some(libc::EBUSY));
        assert_eq!(receive(&kernel, &ring).unwrap(), 1);
        let (ring, kernel) = full(0, Some(libc::ENXIO));
        assert!(receive(&kernel, &ring).is_err());
    }
}
