//! The workload of a pod, by what the pod itself says.

use k8s_openapi::api::core::v1::Pod;

const MINUTE: u64 = 60_000_000_000;
/// A job of a schedule may begin late, or be made up for: by a day at most, or it is none.
const LATE_MINUTES: u64 = 24 * 60;

/// Kind and name; none of a pod that stands alone.
pub(super) fn workload(pod: &Pod, created: u64) -> Option<(String, String)> {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let (kind, name) = (owner.kind.as_str(), owner.name.as_str());
    let of_prefix = |suffix: &str| name.strip_suffix(suffix)?.strip_suffix('-');
    let label = |key: &str| pod.metadata.labels.as_ref()?.get(key).map(String::as_str);
    let (kind, name) = match kind {
        // A deployment names its replica sets by the hash that it labels their pods with.
        "ReplicaSet" => match label("pod-template-hash").and_then(of_prefix) {
            Some(deployment) => ("Deployment", deployment),
            None => (kind, name),
        },
        // A schedule names its jobs by the minute that they were due in.
        "Job" => match scheduled(name, created) {
            Some(schedule) => ("CronJob", schedule),
            None => (kind, name),
        },
        // A static pod: the kubelet adds the name of its node.
        "Node" => {
            let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
            let of_node = pod_name.strip_suffix(name).and_then(|p| p.strip_suffix('-'));
            ("StaticPod", of_node.unwrap_or(pod_name))
        }
        _ => (kind, name),
    };
    Some((kind.to_owned(), name.to_owned()))
}

/// The schedule of a job that is named by the minute it was due in: that of a pod made then.
fn scheduled(job: &str, created: u64) -> Option<&str> {
    let (schedule, minute) = job.rsplit_once('-')?;
    let minute = minute.parse::<u64>().ok()?;
    let made = created / MINUTE;
    (minute <= made + 1 && made <= minute + LATE_MINUTES).then_some(schedule)
}
