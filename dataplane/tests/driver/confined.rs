//! Where a seccomp filter forbids io_uring, as container runtimes do by default.

use ringlay_dataplane::driver::DriverKind;
use ringlay_dataplane::driver::probe::{self, ChooseDriverError, DriverChoice};

/// Makes `io_uring_setup` fail with EPERM in this thread, for good.
fn forbid_io_uring() {
    let statement = |code: u32, k| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut jump = statement(
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::SYS_io_uring_setup as u32,
    );
    jump.jf = 1;
    let mut program = [
        // The number of the system call is the first field of `seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        jump,
        statement(libc::BPF_RET | libc::BPF_K, refuse),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` describes `program`; the kernel copies both.
    let rc = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const filter,
        )
    };
    assert_eq!(rc, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn epoll_steps_in_and_the_report_says_why() {
    std::thread::spawn(|| {
        forbid_io_uring();
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
