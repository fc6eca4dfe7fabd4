//! Where a worker's time goes: its stages, and the clock that tells them apart.
//!
//! A worker is in one stage at any time. It reads the time stamp counter where it enters the next, a
//! few times a batch, and the stage that it leaves gets all the time since the last reading. So nothing
//! is counted twice, a stage within another has its time to itself, and all stages together are the
//! worker's whole time. It is time by the clock: what interrupts a worker, the kernel's packet
//! processing on its CPU for one, is in the stage that it interrupts.
//!
//! A clock that does not run costs one test at each of these places.

use crate::counters::Counter;
use crate::sys::tsc;

macro_rules! stages {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A part of what a worker does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Stage {
            $($(#[$doc])* $variant,)*
        }

        impl Stage {
            /// Every stage, in the order in which a frame may pass them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its public name; that of a node is the node's.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

stages! {
    /// The driver takes in frames, and lends the kernel memory for more.
    Receive = "receive",
    /// Outer headers are taken off what came by an uplink or wire, and checksums verified.
    UplinkInput = "uplink_input",
    /// Datagrams are merged into super-frames.
    Coalesce = "coalesce",
    /// New tables are picked up, and frames led to their first node.
    Dispatch = "dispatch",
    /// VXLAN and inner Ethernet headers are taken off.
    VxlanDecap = "vxlan_decap",
    /// The same for Geneve.
    GeneveDecap = "geneve_decap",
    /// The same for GRE.
    GreDecap = "gre_decap",
    /// The same for IP in IP.
    IpipDecap = "ipip_decap",
    /// Frames of Ethernet ports are taken apart.
    EtherInput = "ether_input",
    /// Frames of bridged networks are forwarded by their MAC address, in tunnels too.
    Bridge = "bridge",
    /// ARP is answered, and learned from.
    ArpInput = "arp_input",
    /// The same for neighbour discovery.
    NdiscInput = "ndisc_input",
    /// Answers to path MTU probes.
    ProbeInput = "probe_input",
    /// Packets are checked.
    IpInput = "ip_input",
    /// The maximum segment size of new TCP connections is lowered.
    MssClamp = "mss_clamp",
    /// Routes are looked up.
    IpLookup = "ip_lookup",
    /// What is for this node itself.
    LocalInput = "local_input",
    /// Super-frames are cut, and outer headers put in front.
    TunnelEncap = "tunnel_encap",
    /// Packets get the Ethernet header of a host on a port.
    EtherOutput = "ether_output",
    /// Packets are cut into fragments.
    Fragment = "fragment",
    /// Errors are told to senders.
    IcmpError = "icmp_error",
    /// Frames wait for the MAC address of a VTEP, and go on or are given up.
    Hold = "hold",
    /// Packets wait for the MAC address of a host.
    HoldHost = "hold_host",
    /// Frames are handed to the driver. Where there is nothing to be gained by waiting it calls the
    /// kernel at once.
    Send = "send",
    /// The driver hands all of them to the kernel.
    Flush = "flush",
    /// Commands of the control plane: ports that come and go.
    Control = "control",
    /// Looking for work in vain.
    Idle = "idle",
    /// Asleep, and falling asleep and waking up.
    Wait = "wait",
}

impl Stage {
    /// The stage of the node with this name. Call it where a constant is computed: then a node
    /// without a stage does not compile.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub const fn of_node(name: &str) -> Self {
        let mut index = 0;
        while index < Self::ALL.len() {
            if same(Self::ALL[index].name().as_bytes(), name.as_bytes()) {
                return Self::ALL[index];
            }
            index += 1;
        }
        panic!("every node has a stage of its name");
    }

    /// Whether it is a part of forwarding, rather than waiting or what others wanted.
    pub const fn is_work(self) -> bool {
        !matches!(self, Self::Control | Self::Idle | Self::Wait)
    }
}

/// `==`, which is no constant function.
const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// What is counted of one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageStats {
    /// How often it ran: over frames, or, where there are none, at all.
    pub calls: u64,
    /// Frames that it was given. One that passes a stage twice counts twice.
    pub frames: u64,
    /// Its time, in ticks of [`tsc::now`].
    pub cycles: u64,
}

#[derive(Debug, Default)]
struct StageCounters {
    calls: Counter,
    frames: Counter,
    cycles: Counter,
}

/// The clock of one worker, who alone may use it. Anyone may read what it counted.
#[derive(Debug)]
pub struct StageClock {
    /// When the present stage was entered; 0 while the clock does not run.
    since: Counter,
    /// The present stage.
    present: Counter,
    counters: [StageCounters; Stage::ALL.len()],
}

impl StageClock {
    /// Whether it runs.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.since.value() != 0
    }

    /// Begins anew, from zero.
    pub fn start(&self) {
        for stage in &self.counters {
            stage.calls.set(0);
            stage.frames.set(0);
            stage.cycles.set(0);
        }
        self.present.set(Stage::Control as u64);
        self.since.set(now());
    }

    /// Ends; what was counted stays.
    pub fn stop(&self) {
        self.resume(Stage::Control);
        self.since.set(0);
    }

    /// The worker begins a stage over so many frames. Without any it is there, but not called.
    #[inline]
    pub fn enter(&self, stage: Stage, frames: usize) {
        if self.is_running() {
            self.change(stage, u64::from(frames > 0), frames as u64);
        }
    }

    /// The worker begins a stage that is not about frames.
    #[inline]
    pub fn begin(&self, stage: Stage) {
        if self.is_running() {
            self.change(stage, 1, 0);
        }
    }

    /// The worker goes on with a stage, or does what leads to it.
    #[inline]
    pub fn resume(&self, stage: Stage) {
        if self.is_running() {
            self.change(stage, 0, 0);
        }
    }

    /// What was begun as [`Stage::Receive`] brought so many frames; with none, it was idle.
    #[inline]
    pub fn received(&self, frames: usize) {
        if self.is_running() {
            self.count_received(frames);
        }
    }

    /// The driver is to hand over all that it was given.
    #[inline]
    pub fn flush(&self) {
        if self.is_running() {
            let frames = |stage| self.of(stage).frames.value();
            let frames = frames(Stage::Send) - frames(Stage::Flush);
            self.change(Stage::Flush, u64::from(frames > 0), frames);
        }
    }

    /// What was counted of a stage, until now.
    pub fn read(&self, stage: Stage) -> StageStats {
        let of = self.of(stage);
        // Before it is asked what is not counted yet: what ends between the two is left out, and not
        // in twice.
        let cycles = of.cycles.value();
        let since = self.since.value();
        let open = match self.present.value() == stage as u64 && since > 0 {
            true => now().saturating_sub(since),
            false => 0,
        };
        StageStats {
            calls: of.calls.value(),
            frames: of.frames.value(),
            cycles: cycles + open,
        }
    }

    /// Apart, so that where it is not called there is a test and nothing else.
    #[cold]
    #[inline(never)]
    fn change(&self, stage: Stage, calls: u64, frames: u64) {
        let now = now();
        let left = &self.counters[self.present.value() as usize];
        // A worker that is not pinned may come to a CPU whose counter is behind.
        left.cycles.add(now.saturating_sub(self.since.value()));
        self.present.set(stage as u64);
        self.since.set(now);
        let of = self.of(stage);
        of.calls.add(calls);
        of.frames.add(frames);
    }

    #[cold]
    #[inline(never)]
    fn count_received(&self, frames: usize) {
        let stage = match frames {
            0 => Stage::Idle,
            _ => Stage::Receive,
        };
        self.present.set(stage as u64);
        self.of(stage).calls.add(1);
        self.of(stage).frames.add(frames as u64);
    }

    fn of(&self, stage: Stage) -> &StageCounters {
        &self.counters[stage as usize]
    }
}

impl Default for StageClock {
    /// One that does not run.
    fn default() -> Self {
        Self {
            since: Counter::default(),
            present: Counter::default(),
            counters: std::array::from_fn(|_| StageCounters::default()),
        }
    }
}

/// Never 0, which means that no clock runs.
fn now() -> u64 {
    tsc::now().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was counted, without the stage that lasts.
    fn counted(clock: &StageClock) -> u64 {
        clock.counters.iter().map(|it| it.cycles.value()).sum()
    }

    #[test]
    fn a_clock_that_does_not_run_records_nothing() {
        let clock = StageClock::default();
        clock.resume(Stage::Receive);
        clock.received(3);
        clock.enter(Stage::IpInput, 3);
        clock.flush();
        clock.begin(Stage::Wait);
        for &stage in Stage::ALL {
            assert_eq!(clock.read(stage), StageStats::default(), "{stage:?}");
        }
    }

    #[test]
    fn the_stages_together_are_all_the_time() {
        let clock = StageClock::default();
        clock.start();
        let begun = clock.since.value();
        for frames in 0..1_000 {
            clock.resume(Stage::Receive);
            clock.received(frames % 3);
            clock.enter(Stage::Dispatch, frames % 3);
            clock.resume(Stage::Coalesce);
            clock.enter(Stage::Send, frames % 3);
            clock.flush();
        }
        assert_eq!(counted(&clock), clock.since.value() - begun);
        let read = [Stage::Receive, Stage::Send, Stage::Flush].map(|stage| clock.read(stage));
        assert_eq!(read.map(|it| (it.calls, it.frames)), [(666, 999); 3]);
        assert_eq!(clock.read(Stage::Idle).calls, 334);
        let merged = clock.read(Stage::Coalesce);
        assert_eq!((merged.calls, merged.frames), (0, 0));
        assert!(merged.cycles > 0);
    }

    #[test]
    fn what_lasts_is_seen() {
        let clock = StageClock::default();
        clock.start();
        clock.begin(Stage::Wait);
        let seen = clock.read(Stage::Wait).cycles;
        let later = loop {
            let later = clock.read(Stage::Wait).cycles;
            if later > seen {
                break later;
            }
        };
        clock.resume(Stage::Idle);
        let awake = clock.read(Stage::Wait);
        assert!(awake.cycles >= later && awake.calls == 1);
        assert_eq!(clock.read(Stage::Wait), awake);
    }

    #[test]
    fn it_stops_and_begins_anew() {
        let clock = StageClock::default();
        clock.start();
        clock.enter(Stage::IpLookup, 7);
        clock.stop();
        let stopped = clock.read(Stage::IpLookup);
        clock.enter(Stage::IpLookup, 7);
        assert_eq!(clock.read(Stage::IpLookup), stopped);
        assert_eq!(stopped.frames, 7);
        clock.start();
        assert_eq!(clock.read(Stage::IpLookup), StageStats::default());
    }

    #[test]
    fn nodes_are_found_by_name() {
        const FOUND: Stage = Stage::of_node("ip_lookup");
        assert_eq!(FOUND, Stage::IpLookup);
        assert!(std::panic::catch_unwind(|| Stage::of_node("ip_look")).is_err());
    }
}
