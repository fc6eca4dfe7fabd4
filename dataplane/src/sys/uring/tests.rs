use std::io::Write;
use std::os::fd::AsFd;

use super::*;
use crate::mempool::Mempool;

const CONFIG: UringConfig = UringConfig {
    submissions: 8,
    completions: 32,
    sends: 8,
    files: 64,
};

fn wait_for(uring: &mut Uring) -> Completion {
    loop {
        if let Some(completion) = uring.complete() {
            return completion;
        }
        uring.submit_and_wait(Some(Duration::from_secs(5))).unwrap();
    }
}

fn lend(uring: &mut Uring, source: SourceId, pool: &Mempool) {
    uring
        .lend(source, pool.allocate().unwrap().into_slot())
        .unwrap();
}

/// Guards against the `io-uring` crate's multishot read losing the flag for
/// registered files.
#[test]
fn a_multishot_read_reads_the_registered_file_and_not_the_descriptor_of_that_number() {
    let pool = Mempool::new(4).unwrap();
    let mut uring = Uring::new(CONFIG).unwrap();
    let (decoy, mut decoy_writer) = io::pipe().unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    // Fill the table up to the index that equals the decoy's descriptor.
    let number = decoy.as_raw_fd() as u32;
    assert!(number < CONFIG.files);
    let file = loop {
        let file = uring.register(reader.try_clone().unwrap().into()).unwrap();
        if file.0 == number {
            break file;
        }
    };
    let source = uring.open_source(file, ReceiveMode::Read, 2, 0, 5).unwrap();
    lend(&mut uring, source, &pool);
    uring.arm(source).unwrap();
    decoy_writer.write_all(b"decoy").unwrap();
    writer.write_all(b"data").unwrap();
    let Completion::Packet { tag: 5, slot, len } = wait_for(&mut uring) else {
        panic!()
    };
    assert_eq!(&slot.bytes()[..len], b"data");
}

#[test]
fn a_source_without_slots_stops_and_goes_on_when_armed_again() {
    let pool = Mempool::new(4).unwrap();
    let mut uring = Uring::new(CONFIG).unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    let file = uring.register(reader.into()).unwrap();
    let source = uring.open_source(file, ReceiveMode::Read, 1, 8, 0).unwrap();
    lend(&mut uring, source, &pool);
    assert!(
        uring
            .lend(source, pool.allocate().unwrap().into_slot())
            .is_err()
    );
    uring.arm(source).unwrap();
    writer.write_all(b"one").unwrap();
    let Completion::Packet { slot, len: 3, .. } = wait_for(&mut uring) else {
        panic!()
    };
    assert_eq!(&slot.bytes()[8..11], b"one");
    writer.write_all(b"two").unwrap();
    let Completion::Stopped { errno, .. } = wait_for(&mut uring) else {
        panic!()
    };
    assert_eq!(errno, libc::ENOBUFS);
    assert!(!uring.is_armed(source));
    lend(&mut uring, source, &pool);
    uring.arm(source).unwrap();
    let Completion::Packet { slot, len: 3, .. } = wait_for(&mut uring) else {
        panic!()
    };
    assert_eq!(&slot.bytes()[8..11], b"two");
}

#[test]
fn an_armed_source_is_not_closed_before_it_has_stopped() {
    let pool = Mempool::new(2).unwrap();
    let mut uring = Uring::new(CONFIG).unwrap();
    let (reader, _writer) = io::pipe().unwrap();
    let file = uring.register(reader.into()).unwrap();
    let source = uring.open_source(file, ReceiveMode::Read, 2, 0, 0).unwrap();
    lend(&mut uring, source, &pool);
    uring.arm(source).unwrap();
    assert!(!uring.close_source(source));
    uring.cancel(source).unwrap();
    let Completion::Stopped { errno, .. } = wait_for(&mut uring) else {
        panic!()
    };
    assert_eq!(errno, libc::ECANCELED);
    assert!(uring.close_source(source));
    assert_eq!(pool.available(), 2);
}

#[test]
fn dropping_the_ring_returns_everything_lent() {
    let pool = Mempool::new(8).unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    let mut uring = Uring::new(CONFIG).unwrap();
    uring.watch(io::pipe().unwrap().0.as_fd()).unwrap();
    let file = uring.register(reader.into()).unwrap();
    let source = uring.open_source(file, ReceiveMode::Read, 4, 0, 0).unwrap();
    for _ in 0..4 {
        lend(&mut uring, source, &pool);
    }
    uring.arm(source).unwrap();
    uring.submit().unwrap();
    writer.write_all(b"never looked at").unwrap();
    let out = uring.register(writer.try_clone().unwrap().into()).unwrap();
    uring
        .write(out, pool.copy_of(b"not submitted yet").unwrap(), 0)
        .unwrap();
    drop(uring);
    assert_eq!(pool.available(), 8);
}

#[test]
fn a_write_that_cannot_proceed_is_refused_at_once() {
    let pool = Mempool::new(8).unwrap();
    let mut uring = Uring::new(CONFIG).unwrap();
    let (_reader, writer) = io::pipe().unwrap();
    let file = uring.register(writer.into()).unwrap();
    // A pipe takes 64 KiB.
    for expected in [Ok(40_000), Ok(25_536), Err(libc::EAGAIN)] {
        uring
            .write(file, pool.copy_of(&[1; 40_000]).unwrap(), 9)
            .unwrap();
        let Completion::Sent { tag: 9, result, .. } = wait_for(&mut uring) else {
            panic!()
        };
        // Pages of the pipe are not shared between writes, so the second is short.
        assert_eq!(result.is_ok(), expected.is_ok(), "{result:?}");
    }
}

#[test]
fn each_wake_up_is_reported() {
    let waker = crate::sys::eventfd::Waker::new().unwrap();
    let mut uring = Uring::new(CONFIG).unwrap();
    uring.watch(waker.as_fd()).unwrap();
    for _ in 0..3 {
        waker.wake();
        assert!(matches!(wait_for(&mut uring), Completion::Woken));
        uring
            .submit_and_wait(Some(Duration::from_millis(1)))
            .unwrap();
        assert!(uring.complete().is_none());
    }
}
