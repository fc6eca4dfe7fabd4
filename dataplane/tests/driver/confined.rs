//! Where a seccomp filter forbids io_uring, as container runtimes do by default.

use ringlay_dataplane::driver::DriverKind;
use ringlay_dataplane::driver::probe::{self, ChooseDriverError, DriverChoice};
use ringlay_dataplane::sys::seccomp;

#[test]
fn epoll_steps_in_and_the_report_says_why() {
    std::thread::spawn(|| {
        seccomp::forbid(libc::SYS_io_uring_setup).unwrap();
        let report = probe::choose(DriverChoice::Auto).unwrap();
        assert_eq!(report.kind, DriverKind::Epoll);
        assert!(report.reason.contains("seccomp"), "{}", report.reason);
        let ChooseDriverError::IoUring { missing } =
            probe::choose(DriverChoice::IoUring).unwrap_err()
        else {
            panic!()
        };
        assert!(missing.contains("seccomp"), "{missing}");
    })
    .join()
    .unwrap();
}
