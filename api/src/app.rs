#[derive(Clone, Debug)]
pub struct WorkerInfo {
    pub worker: String,
    pub http: String,
}
