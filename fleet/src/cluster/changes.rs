//! Pods come and go: rolling deploys, and jobs that take turns on one address.
//!
//! The order is Kubernetes': the new pod has its address, is listed, is used; then the old one gets
//! no new connections, closes those it has, and is gone. While it drains the service still lists it
//! (an endpoint that is terminating but serving).

use portolan_model::Nanos;
use rand::Rng;

use super::{Cluster, MS};
use crate::events::{Event, Replacement, Step};
use crate::plan::{Client, Role};
use crate::wire::Message;
use crate::world::PodIx;

/// Clients hear of a change of endpoints this much later, and use no pod in the first moments of its
/// life: twice the largest clock skew.
const HEARD: u64 = 100 * MS;
/// From the last packet of a pod to its end. Longer than the longest round trip plus the skew.
const LAST_BREATH: u64 = 250 * MS;
/// How long a pod that drains keeps its connections.
const DRAIN: u64 = 700 * MS;
/// Between one pod of a rollout and the next.
const BETWEEN: u64 = 500 * MS;

impl Cluster {
    /// Time to the next deploy.
    pub(super) fn deploy_gap(&mut self) -> u64 {
        let mean = u64::from(self.spec.features.deploy_every_ms) * MS;
        self.random.changes.random_range(mean / 2..=mean * 3 / 2)
    }

    /// Some deployment begins to replace its pods, one after the other.
    pub(super) fn deploy(&mut self, at: Nanos) {
        let next = at + self.deploy_gap();
        self.queue.push(next, Event::Deploy);
        let groups = self.world.groups.iter().enumerate();
        let deployments: Vec<usize> = groups
            .filter(|(_, group)| group.plan.role == Role::Deployment)
            .map(|(workload, _)| workload)
            .filter(|workload| !self.rollouts.contains_key(workload))
            .collect();
        if deployments.is_empty() {
            return;
        }
        let chosen = self.random.changes.random_range(0..deployments.len() as u32);
        let workload = deployments[chosen as usize];
        let mut pods = self.world.groups[workload].ready.clone();
        pods.reverse();
        let Some(old) = pods.pop() else { return };
        self.rollouts.insert(workload, pods);
        self.step(Step::Birth, Replacement { workload, old, new: old }, at);
    }

    /// A step in the replacement of one pod by another.
    pub(super) fn step(&mut self, step: Step, mut who: Replacement, at: Nanos) {
        let (next, after) = match step {
            Step::Birth => {
                let node = self.random.changes.random_range(0..self.world.nodes);
                let Some(new) = self.world.birth(who.workload, Some(node), at) else {
                    // The node is full: the rollout stalls for good, as it would.
                    self.rollouts.remove(&who.workload);
                    return;
                };
                who.new = new;
                self.tell_pod(new, at);
                (Step::Join, self.random.changes.random_range(300 * MS..1_000 * MS))
            }
            Step::Join => {
                self.world.join(who.new, at);
                self.tell_fronts(who.new, at);
                (Step::Ready, HEARD)
            }
            Step::Ready => {
                self.world.ready(who.new);
                (Step::Drain, 2 * HEARD)
            }
            Step::Drain => {
                self.world.drain(who.old);
                (Step::HangUp, DRAIN)
            }
            Step::HangUp => {
                self.hang_up_all(who.old, at);
                (Step::Death, LAST_BREATH)
            }
            Step::Death => {
                self.world.death(who.old, at);
                let record = self.world.pod_record(who.old, at);
                self.publish(at, Message::gone(&record, at));
                self.tell_fronts(who.old, at);
                let Some(old) = self.rollouts.get_mut(&who.workload).and_then(Vec::pop) else {
                    self.rollouts.remove(&who.workload);
                    return;
                };
                who.old = old;
                (Step::Birth, BETWEEN)
            }
        };
        self.queue.push(at + after, Event::Step(next, who));
    }

    /// The next job's pod is born, on the first node, so that both share an address.
    pub(super) fn job(&mut self, which: usize, at: Nanos) {
        let workload = self.plan.jobs[which];
        let next = (which + 1) % self.plan.jobs.len();
        let Some(pod) = self.world.birth(workload, Some(0), at) else {
            return;
        };
        self.tell_pod(pod, at);
        self.queue.push(at + 2 * HEARD, Event::JobStep(Step::Ready, pod, next));
    }

    /// A step in the life of a job's pod.
    pub(super) fn job_step(&mut self, step: Step, pod: PodIx, next: usize, at: Nanos) {
        let (step, after) = match step {
            Step::Birth | Step::Join | Step::Ready => {
                self.world.ready(pod);
                self.work(pod, at);
                (Step::Drain, self.random.changes.random_range(1_000 * MS..3_000 * MS))
            }
            Step::Drain => {
                self.world.drain(pod);
                (Step::HangUp, HEARD)
            }
            Step::HangUp => {
                self.hang_up_all(pod, at);
                (Step::Death, LAST_BREATH)
            }
            Step::Death => {
                self.world.death(pod, at);
                // A finished job keeps its object: it says how it ended, it is not deleted.
                let record = self.world.finished_record(pod, at);
                self.publish(at, Message::owner(&record));
                let rest = u64::from(self.spec.features.reuse_after_ms) * MS;
                let pause = self.random.changes.random_range(0..500 * MS);
                self.queue.push(at + rest + pause, Event::Job(next));
                return;
            }
        };
        self.queue.push(at + after, Event::JobStep(step, pod, next));
    }

    /// A job sets to work at once: its first calls do not wait for their turn.
    fn work(&mut self, pod: PodIx, at: Nanos) {
        let workload = self.world.pods[pod].workload;
        let calls = self.plan.calls.iter().enumerate();
        let own = calls.filter(|(_, call)| call.client == Client::Workload(workload));
        let own: Vec<usize> = own.map(|(call, _)| call).collect();
        for call in own {
            self.call(call, at);
        }
    }

    /// How long the watch of ownership holds before it breaks; 0 if it never does.
    pub(super) fn watch_holds(&self) -> u64 {
        let features = &self.spec.features;
        u64::from(features.relist_every_ms.saturating_sub(features.relist_gap_ms)) * MS
    }

    /// The watch of ownership breaks.
    pub(super) fn break_watch(&mut self, at: Nanos) {
        self.broken = Some(at);
        let gap = u64::from(self.spec.features.relist_gap_ms) * MS;
        self.queue.push(at + gap, Event::Relist { broken: at });
    }

    /// The watch is whole again and lists all.
    pub(super) fn relist(&mut self, broken: Nanos, at: Nanos) {
        self.broken = None;
        for event in self.world.relist(broken, at) {
            self.publish(at, Message::event(&event));
        }
        self.queue.push(at + self.watch_holds(), Event::Break);
    }

    fn hang_up_all(&mut self, pod: PodIx, at: Nanos) {
        let open: Vec<u64> = self.world.pods[pod].open.iter().copied().collect();
        for number in open {
            self.hang_up(number, at);
        }
    }

    fn tell_pod(&mut self, pod: PodIx, at: Nanos) {
        let record = self.world.pod_record(pod, at);
        self.publish(at, Message::owner(&record));
    }

    fn tell_fronts(&mut self, pod: PodIx, at: Nanos) {
        for record in self.world.fronts(self.world.pods[pod].workload) {
            self.publish(at, Message::owner(&record));
        }
    }
}
