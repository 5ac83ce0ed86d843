//! Lines on their way to standard error. Whoever logs never waits and never fails: a line that does not fit, or cannot
//! be written, is counted, and the count is told when there is a way again.
//!
//! (`tracing-appender` would do half of it: what its writer cannot write it forgets uncounted, and when its queue is
//! full at the end it prints to standard output, which may be the very pipe that nobody reads.)

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

/// How many lines may wait. A daemon that loses its reader in the busiest hour still has room for what led to it.
pub(super) const CAPACITY: usize = 4096;

/// How long to wait before a descriptor that cannot take anything now (`O_NONBLOCK`, inherited) is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Where lines are left. Clones share the queue.
#[derive(Clone)]
pub(super) struct Queue {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

/// What has become of the lines.
#[derive(Default)]
struct Counts {
    /// Entered the queue.
    queued: AtomicU64,
    /// Left it, written or not.
    done: AtomicU64,
    /// Found it full, and have not been told of yet.
    overflowed: AtomicU64,
}

impl Queue {
    /// Starts the thread that writes to `target`. `obituary` makes the line that tells how many were lost.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn start(
        target: impl Write + Send + 'static,
        capacity: usize,
        obituary: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let (lines, queued) = sync_channel(capacity);
        let counts = Arc::new(Counts::default());
        let scribe = Scribe {
            target,
            queued,
            counts: Arc::clone(&counts),
            obituary,
            unwritten: 0,
            torn: false,
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(|| scribe.run())?;
        Ok(Self { lines, counts })
    }

    /// Leaves `line`, which ends with a line feed, to be written; drops it if too many wait.
    pub(super) fn push(&self, line: Vec<u8>) {
        // Counted first: `finish` must not overlook one that is already written.
        self.counts.queued.fetch_add(1, Ordering::AcqRel);
        if self.lines.try_send(line).is_err() {
            self.counts.queued.fetch_sub(1, Ordering::AcqRel);
            self.counts.overflowed.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Waits until everything is written, at most for `patience`.
    pub(super) fn finish(&self, patience: Duration) {
        let by = Instant::now() + patience;
        while self.counts.done.load(Ordering::Acquire) < self.counts.queued.load(Ordering::Acquire)
            && Instant::now() < by
        {
            thread::sleep(RETRY);
        }
    }
}

/// The thread that writes.
struct Scribe<W, F> {
    target: W,
    queued: Receiver<Vec<u8>>,
    counts: Arc<Counts>,
    obituary: F,
    /// Lines that could not be written, and have not been told of yet.
    unwritten: u64,
    /// The last thing that was written is not a whole line.
    torn: bool,
}

impl<W: Write, F: Fn(u64) -> String> Scribe<W, F> {
    /// Writes until the daemon ends.
    fn run(mut self) {
        // A terminal may stop processes in the background that write to it (`stty tostop`). Not this one.
        SigSet::from_iter([Signal::SIGTTOU]).thread_block().ok();
        loop {
            let line = match self.queued.try_recv() {
                Ok(line) => line,
                Err(TryRecvError::Empty) => {
                    // They came after everything that was in the queue.
                    let overflowed = self.counts.overflowed.swap(0, Ordering::AcqRel);
                    self.unwritten += overflowed;
                    self.own_up();
                    match self.queued.recv() {
                        Ok(line) => line,
                        Err(_) => return,
                    }
                }
                Err(TryRecvError::Disconnected) => return,
            };
            self.own_up();
            if self.unwritten > 0 || self.write_line(&line).is_err() {
                self.unwritten += 1;
            }
            self.counts.done.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Tells of the lines that were lost, if that can be written.
    fn own_up(&mut self) {
        if self.unwritten > 0
            && self
                .write_line((self.obituary)(self.unwritten).as_bytes())
                .is_ok()
        {
            self.unwritten = 0;
        }
    }

    /// Writes `line` whole, on a line of its own even after half of another.
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write_all(b"\n")?;
        }
        self.write_all(line)
    }

    fn write_all(&mut self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            match self.target.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.torn = rest[written - 1] != b'\n';
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// A target that a test can fill, break and mend.
    #[derive(Clone, Default)]
    struct Target(Arc<(Mutex<Shelf>, Condvar)>);

    #[derive(Default)]
    struct Shelf {
        text: String,
        /// Bytes that still fit, then ENOSPC.
        room: Option<usize>,
        /// Nobody reads: a writer waits.
        stuck: bool,
        /// A writer waits.
        waiting: bool,
    }

    impl Target {
        fn change(&self, change: impl FnOnce(&mut Shelf)) {
            change(&mut self.0.0.lock().unwrap());
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            self.0.0.lock().unwrap().text.clone()
        }

        fn until(&self, condition: impl Fn(&Shelf) -> bool) {
            let shelf = self.0.0.lock().unwrap();
            let (_shelf, timeout) = self
                .0
                .1
                .wait_timeout_while(shelf, Duration::from_secs(10), |shelf| !condition(shelf))
                .unwrap();
            assert!(!timeout.timed_out());
        }
    }

    impl Write for Target {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut shelf = self.0.0.lock().unwrap();
            while shelf.stuck {
                shelf.waiting = true;
                self.0.1.notify_all();
                shelf = self.0.1.wait(shelf).unwrap();
            }
            shelf.waiting = false;
            let length = shelf.room.map_or(bytes.len(), |room| room.min(bytes.len()));
            if length == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            shelf.room = shelf.room.map(|room| room - length);
            shelf.text += str::from_utf8(&bytes[..length]).unwrap();
            self.0.1.notify_all();
            Ok(length)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    fn queue(target: &Target, capacity: usize) -> Queue {
        Queue::start(target.clone(), capacity, |lost| format!("{lost} lost\n")).unwrap()
    }

    fn push(queue: &Queue, lines: std::ops::Range<u32>) {
        for line in lines {
            queue.push(format!("{line}\n").into());
        }
    }

    #[test]
    fn lines_are_written_in_order() {
        let target = Target::default();
        let queue = queue(&target, 8);
        push(&queue, 0..5);
        queue.finish(PATIENCE);
        assert_eq!(target.text(), "0\n1\n2\n3\n4\n");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told_when_somebody_reads_again() {
        let target = Target::default();
        target.change(|shelf| shelf.stuck = true);
        let queue = queue(&target, 3);
        push(&queue, 0..1);
        target.until(|shelf| shelf.waiting);
        push(&queue, 1..10);
        let began = Instant::now();
        queue.finish(Duration::from_millis(50));
        assert!(began.elapsed() < Duration::from_secs(5), "the end has a bound");
        target.change(|shelf| shelf.stuck = false);
        target.until(|shelf| shelf.text.contains("lost"));
        assert_eq!(target.text(), "0\n1\n2\n3\n6 lost\n");
        push(&queue, 10..11);
        queue.finish(PATIENCE);
        assert_eq!(target.text(), "0\n1\n2\n3\n6 lost\n10\n");
    }

    #[test]
    fn what_a_full_disk_refuses_is_counted_and_told_when_there_is_room_again() {
        let target = Target::default();
        let queue = queue(&target, 8);
        target.change(|shelf| shelf.room = Some(4));
        push(&queue, 10..13);
        queue.finish(PATIENCE);
        assert_eq!(target.text(), "10\n1", "half of the second");
        target.change(|shelf| shelf.room = None);
        push(&queue, 13..14);
        queue.finish(PATIENCE);
        assert_eq!(target.text(), "10\n1\n2 lost\n13\n");
    }
}
