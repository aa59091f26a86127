//! Every frame gets its overlay within its budget, whatever computing costs: by its own contours, or by older ones that say so.
//!
//! The clock advances at each reading: a step is what a piece of work costs.

use crate::common::{Memory, Scan, Ticking, click, every_frame, frame, only, picture, remove, state};
use sonotrace::hal::clock::Clock;
use sonotrace::hal::event::EventKind;
use sonotrace::hal::frame::FrameDescriptor;
use sonotrace::hal::overlay::{Overlay, PromptOutcome, Rung, State, overlay_flags};
use sonotrace::session::{Policy, Poll, SessionConfig};

/// Time of a call of `poll`: a few pieces.
const SLICE_NS: u64 = 12_000;

/// What a followed frame with one object costs at a step of 1000 ns: with one check, and without.
fn costs_ns() -> [u64; 2] {
    [1, 0].map(|checks_per_frame| {
        let (clock, config) =
            (Ticking::new(1000), SessionConfig { checks_per_frame, slice_ns: SLICE_NS, ..every_frame() });
        let mut memory = Memory::of(&config);
        let mut scan = memory.open(config, &clock);
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        scan.overlay_of(&frame(1));
        let took = |seq: u64| {
            let descriptor = FrameDescriptor { t_enqueue_ns: clock.now_ns(), ..frame(seq) };
            scan.overlay_of(&descriptor).latency_ns
        };
        (2..8).map(took).max().unwrap()
    })
}

fn live(budget_ns: u64) -> SessionConfig<'static> {
    SessionConfig { policy: Policy::Newest, budget_ns, slice_ns: SLICE_NS, ..every_frame() }
}

/// A scanner that commits a frame every period.
struct Scanner<'m> {
    scan: Scan<'m, &'m Ticking>,
    clock: &'m Ticking,
    period_ns: u64,
    /// The next frame, and when it comes.
    next: (u64, u64),
}

impl<'m> Scanner<'m> {
    fn new(memory: &'m mut Memory, clock: &'m Ticking, budget_ns: u64, period_ns: u64) -> Self {
        let scan = memory.open(live(budget_ns), clock);
        Self { scan, clock, period_ns, next: (1, clock.now_ns() + period_ns) }
    }

    /// Runs some frames, clicks on an object, and runs so many more frames; returns their overlays.
    fn follow(&mut self, frames: usize) -> Vec<Overlay> {
        self.run(3);
        self.scan.prompt(click(1, 0.0, 20.0)).unwrap();
        self.run(frames)
    }

    /// Commits the frames that are due, polls once, and returns the overlay that came of it.
    fn step(&mut self) -> Option<Overlay> {
        let (seq, due_ns) = self.next;
        if self.clock.now_ns() >= due_ns {
            self.scan.push(&FrameDescriptor { t_enqueue_ns: due_ns, ..frame(seq) });
            self.next = (seq + 1, due_ns + self.period_ns);
            return self.step();
        }
        match self.scan.session.poll() {
            Poll::Idle => self.clock.advance_to(due_ns),
            Poll::Dropped { seq, reason } => panic!("frame {seq} was dropped: {}", reason.name()),
            Poll::Working | Poll::Overlay(_) | Poll::Update(_) | Poll::Computed(_) => {}
        }
        self.scan.overlays.take().copied()
    }

    /// Runs until so many more frames have their overlays, and returns all overlays.
    fn run(&mut self, frames: usize) -> Vec<Overlay> {
        let (mut overlays, mut outcomes) = (Vec::new(), 0);
        while outcomes < frames {
            let Some(overlay) = self.step() else { continue };
            outcomes += usize::from(overlay.flags & overlay_flags::UPDATE == 0);
            overlays.push(overlay);
        }
        overlays
    }
}

fn is_update(overlay: &&Overlay) -> bool {
    overlay.flags & overlay_flags::UPDATE != 0
}

/// Each frame's outcome is in order and within the budget, and what is stale says so.
fn check_in_time(overlays: &[Overlay], budget_ns: u64) {
    let outcomes: Vec<&Overlay> = overlays.iter().filter(|overlay| !is_update(overlay)).collect();
    for pair in outcomes.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq + 1, "each frame has its overlay");
    }
    for overlay in outcomes {
        assert!(overlay.latency_ns <= budget_ns, "frame {}: {} ns", overlay.seq, overlay.latency_ns);
    }
    for pair in overlays.windows(2) {
        assert!(pair[1].seq >= pair[0].seq, "overlays are in order");
    }
    for overlay in overlays {
        let is_repeated = overlay.rung >= Rung::Spread as u32;
        for object in overlay.objects() {
            let is_own = matches!(state(object), State::Fresh | State::Tracked | State::Attention);
            assert!(!(is_repeated && is_own), "frame {}: {:?}", overlay.seq, state(object));
        }
        // Contours of the frame itself are as old as the overlay is late.
        assert!(is_repeated || overlay.age_ns <= overlay.latency_ns.max(budget_ns) * 8);
    }
}

#[test]
fn a_machine_that_is_fast_enough_computes_every_frame() {
    let [cost_ns, _] = costs_ns();
    let (budget_ns, clock) = (cost_ns * 3 / 2, Ticking::new(1000));
    let mut memory = Memory::of(&live(budget_ns));
    let mut scanner = Scanner::new(&mut memory, &clock, budget_ns, budget_ns);
    let overlays = scanner.follow(60);
    check_in_time(&overlays, budget_ns);
    for overlay in &overlays[8..] {
        assert_eq!((overlay.rung, state(only(overlay))), (Rung::Full as u32, State::Tracked));
        assert_eq!((overlay.age_ns, only(overlay).checked_frames_ago), (overlay.latency_ns, 0));
    }
    let counters = scanner.scan.finish_and_account();
    assert_eq!((counters.deadline_misses, counters.drops.iter().sum::<u64>()), (0, 0));
    assert_eq!(counters.rungs.iter().sum::<u64>(), counters.overlays);
}

#[test]
fn without_time_for_a_check_objects_are_tracked_alone() {
    let [full_ns, tracked_ns] = costs_ns();
    assert!(full_ns > tracked_ns * 9 / 8, "a check costs too little here: {full_ns} and {tracked_ns} ns");
    // A slice is kept back, and the steps of the scanner cost time, too.
    let (budget_ns, clock) = (tracked_ns + (full_ns - tracked_ns) / 4 + 2 * SLICE_NS, Ticking::new(1000));
    let mut memory = Memory::of(&live(budget_ns));
    let mut scanner = Scanner::new(&mut memory, &clock, budget_ns, 2 * full_ns);
    let overlays = scanner.follow(60);
    check_in_time(&overlays, budget_ns);
    let last = &overlays[overlays.len() - 1];
    assert_eq!((last.rung, last.latency_ns <= budget_ns), (Rung::Tracked as u32, true));
    assert!(only(last).checked_frames_ago > 30, "{}", only(last).checked_frames_ago);
    let counters = scanner.scan.finish_and_account();
    assert!(counters.rungs[Rung::Tracked as usize] > 40, "{:?}", counters.rungs);
}

/// Everything becomes three times as slow, for a while.
#[test]
fn a_slow_machine_renews_contours_and_keeps_every_deadline() {
    let [cost_ns, _] = costs_ns();
    let (budget_ns, clock) = (cost_ns * 3 / 2, Ticking::new(1000));
    let mut memory = Memory::of(&live(budget_ns));
    let mut scanner = Scanner::new(&mut memory, &clock, budget_ns, budget_ns);
    scanner.follow(20);
    clock.set_step(3 * 1000);
    let slow = scanner.run(120);
    check_in_time(&slow, budget_ns);
    let mut of_contours_ns = 0;
    let (mut frames_since, mut renewals) = (0, 0);
    for overlay in &slow {
        let commit_ns = |overlay: &Overlay| (overlay.t_acq_ns / 20_000_000) * budget_ns + overlay.latency_ns;
        let made_ns = commit_ns(overlay) - overlay.age_ns;
        frames_since += usize::from(!is_update(&overlay));
        if made_ns > of_contours_ns + budget_ns / 2 {
            (of_contours_ns, frames_since, renewals) = (made_ns, 0, renewals + 1);
        }
        assert!(frames_since <= 6, "frame {}: the contour was not renewed", overlay.seq);
        // A contour is shown until the next one is there.
        assert!(overlay.age_ns <= 8 * budget_ns, "frame {}: {} ns", overlay.seq, overlay.age_ns);
        assert_eq!(overlay.object_count, 1);
    }
    assert!(renewals >= 30, "{renewals} renewals in 120 frames");
    let rungs = scanner.scan.session.counters().rungs;
    assert!(rungs[Rung::Spread as usize] > 20 && rungs[Rung::Repeat as usize] > 20, "{rungs:?}");
    clock.set_step(1000);
    let after = scanner.run(60);
    check_in_time(&after, budget_ns);
    assert!(after[after.len() - 15..].iter().all(|overlay| overlay.rung == Rung::Full as u32));
    let counters = scanner.scan.finish_and_account();
    assert_eq!((counters.deadline_misses, counters.drops.iter().sum::<u64>()), (0, 0));
    assert!(counters.updates > 0);
}

/// The time of each frame's prompt may be too short: its overlay comes in time, and the contour afterwards, with the answer.
#[test]
fn an_answer_comes_with_its_contour() {
    let [cost_ns, _] = costs_ns();
    let (budget_ns, clock) = (cost_ns * 9 / 8, Ticking::new(1000));
    let mut memory = Memory::of(&live(budget_ns));
    let mut scanner = Scanner::new(&mut memory, &clock, budget_ns, budget_ns);
    scanner.run(10);
    for object in 1..=3 {
        scanner.scan.prompt(click(object, 0.0, 12.0 * object as f32 - 4.0)).unwrap();
    }
    let overlays = scanner.run(12);
    check_in_time(&overlays, budget_ns);
    let mut answered = Vec::new();
    for overlay in &overlays {
        for answer in overlay.answers() {
            assert_eq!(answer.outcome, PromptOutcome::Served as u32);
            assert!(overlay.objects().iter().any(|object| object.id == answer.object && object.points > 0));
            answered.push(answer.object);
        }
    }
    assert_eq!(answered, [1, 2, 3]);
    assert!(overlays.iter().any(|overlay| overlay.rung == Rung::Spread as u32));
}

/// On a machine that computes one frame in ten, a click on any displayed frame is served.
#[test]
fn clicks_on_frames_that_were_not_computed_are_served() {
    let [cost_ns, _] = costs_ns();
    let (budget_ns, clock) = (cost_ns * 5 / 4, Ticking::new(1000));
    let mut memory = Memory::of(&live(budget_ns));
    let mut scanner = Scanner::new(&mut memory, &clock, budget_ns, budget_ns);
    scanner.follow(10);
    clock.set_step(10 * 1000);
    let (mut asked, mut answers) = (0, Vec::new());
    let period_ns = 20_000_000;
    while answers.len() < 60 {
        let Some(overlay) = scanner.step() else { continue };
        answers.extend(overlay.answers().iter().map(|answer| (*answer, overlay.seq)));
        if asked < 60 && overlay.seq % 30 == 7 && overlay.flags & overlay_flags::UPDATE == 0 {
            let prompt = sonotrace::hal::command::Prompt { seq: overlay.seq, ..click(1, 0.0, 20.0) };
            scanner.scan.prompt(prompt).unwrap();
            asked += 1;
        }
    }
    for (answer, seq) in answers {
        assert_eq!(answer.outcome, PromptOutcome::Served as u32, "on the overlay of frame {seq}");
        // Within the frames that one computation lasts.
        assert!(answer.offset_ns.unsigned_abs() <= 32 * period_ns, "{} ns", answer.offset_ns);
        assert_eq!(answer.offset_ns % period_ns as i64, 0, "{} ns", answer.offset_ns);
    }
    assert_eq!(scanner.scan.finish_and_account().prompts_too_old, 0);
}

/// However fast frames come, the frame in work goes on.
#[test]
fn frames_without_end_do_not_stop_the_frame_in_work() {
    let [cost_ns, _] = costs_ns();
    let (budget_ns, clock) = (cost_ns * 5 / 4, Ticking::new(1000));
    let mut memory = Memory::of(&live(budget_ns));
    let mut scan = memory.open(live(budget_ns), &clock);
    scan.prompt(click(1, 0.0, 20.0)).unwrap();
    clock.set_step(10 * 1000);
    let (mut renewals, mut of_contours_ns) = (0, 0);
    for seq in 1..4000 {
        // There is a new frame at every poll.
        scan.push(&FrameDescriptor { t_enqueue_ns: clock.now_ns(), ..frame(seq) });
        scan.session.poll();
        while let Some(overlay) = scan.overlays.take() {
            let made_ns = clock.now_ns().saturating_sub(overlay.age_ns);
            if overlay.object_count > 0 && made_ns > of_contours_ns + 2 * budget_ns {
                (renewals, of_contours_ns) = (renewals + 1, made_ns);
            }
        }
    }
    assert!(renewals > 3, "{renewals}");
    scan.finish_and_account();
}

/// A frame that was begun, and left for a long time, is given up for a newer one, and has changed nothing.
#[test]
fn a_frame_that_was_left_for_long_is_given_up() {
    let [cost_ns, _] = costs_ns();
    let budget_ns = cost_ns * 5 / 4;
    let contour = |is_left: bool| {
        let clock = Ticking::new(1000);
        let mut memory = Memory::of(&live(budget_ns));
        let mut scan = memory.open(live(budget_ns), &clock);
        let mut seq = 0;
        let mut commit = |scan: &mut Scan<'_, &Ticking>, number: u64| {
            scan.push(&FrameDescriptor { t_enqueue_ns: clock.now_ns(), ..frame(number) });
            seq = number;
        };
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        for number in 1..=12 {
            commit(&mut scan, number);
            while scan.session.poll() != Poll::Idle {}
            clock.advance_to(clock.now_ns() + budget_ns);
        }
        while scan.overlays.take().is_some() {}
        if is_left {
            commit(&mut scan, 13);
            clock.set_step(3_000);
            let before = scan.session.counters().rungs[Rung::Spread as usize];
            // Its overlay is out, and it is in work.
            while scan.session.counters().rungs[Rung::Spread as usize] == before {
                scan.session.poll();
            }
            clock.set_step(1_000);
            clock.advance_to(clock.now_ns() + 20 * budget_ns);
        }
        while scan.overlays.take().is_some() {}
        scan.event_kinds();
        commit(&mut scan, 14);
        while scan.session.poll() != Poll::Idle {}
        let overlay = core::iter::from_fn(|| scan.overlays.take().copied()).last().unwrap();
        let counters = scan.session.counters();
        assert_eq!(counters.abandoned, u64::from(is_left));
        assert_eq!(scan.event_kinds().contains(&EventKind::FrameAbandoned), is_left);
        assert_eq!((overlay.seq, state(only(&overlay))), (14, State::Tracked));
        let shown = *only(&overlay);
        scan.finish_and_account();
        (shown.contour_px().to_vec(), shown.confidence)
    };
    assert_eq!(contour(true), contour(false));
}

/// A newer frame of which nobody knows where it lies makes the one in work useless.
#[test]
fn a_frame_of_another_plane_ends_the_one_in_work() {
    let [cost_ns, _] = costs_ns();
    let (budget_ns, clock) = (cost_ns * 5 / 4, Ticking::new(1000));
    let mut memory = Memory::of(&live(budget_ns));
    let mut scanner = Scanner::new(&mut memory, &clock, budget_ns, budget_ns);
    scanner.follow(10);
    clock.set_step(5_000);
    let spread = |scanner: &Scanner<'_>| scanner.scan.session.counters().rungs[Rung::Spread as usize];
    let before = spread(&scanner);
    while spread(&scanner) == before {
        scanner.step();
    }
    let Scanner { mut scan, next: (seq, _), .. } = scanner;
    while scan.overlays.take().is_some() {}
    scan.push(&FrameDescriptor { t_enqueue_ns: clock.now_ns(), ..picture(seq, false) });
    while scan.session.poll() != Poll::Idle {}
    let overlays: Vec<Overlay> = core::iter::from_fn(|| scan.overlays.take().copied()).collect();
    assert!(overlays.iter().all(|overlay| overlay.seq == seq), "nothing of the other plane is shown");
    assert_eq!(scan.session.counters().abandoned, 1);
    scan.finish_and_account();
}

/// The stream restarts, an object is removed and the scan ends while a frame is in work: each frame has one outcome.
#[test]
fn a_restart_and_the_end_find_a_frame_in_work() {
    let [cost_ns, _] = costs_ns();
    let (budget_ns, clock) = (cost_ns * 5 / 4, Ticking::new(1000));
    let mut memory = Memory::of(&live(budget_ns));
    let mut scanner = Scanner::new(&mut memory, &clock, budget_ns, budget_ns);
    scanner.run(3);
    for object in 1..=2 {
        scanner.scan.prompt(click(object, 0.0, 12.0 * object as f32)).unwrap();
    }
    scanner.run(20);
    clock.set_step(8_000);
    scanner.run(20);
    // The probe's clock and numbers begin again: three late frames, then a restart.
    scanner.next.0 = 1;
    while scanner.scan.session.counters().restarts == 0 {
        let (seq, due_ns) = scanner.next;
        clock.advance_to(due_ns);
        scanner.scan.push(&FrameDescriptor { t_enqueue_ns: due_ns, ..frame(seq) });
        scanner.next = (seq + 1, due_ns + budget_ns);
        while scanner.scan.session.poll() == Poll::Working {}
        while scanner.scan.overlays.take().is_some() {}
    }
    let overlays = scanner.run(40);
    assert!(overlays[20..].iter().all(|overlay| overlay.objects().iter().all(|object| object.points > 0)));
    scanner.scan.prompt(remove(1)).unwrap();
    assert_eq!(scanner.run(30)[29].object_count, 1);
    while scanner.scan.session.poll() != Poll::Working {}
    let counters = scanner.scan.finish_and_account();
    assert_eq!(counters.restarts, 1);
}
