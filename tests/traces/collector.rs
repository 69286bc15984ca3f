//! A collector of traces: takes OTLP over HTTP as real ones do, and keeps the spans.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::eventually;

/// One span, as a person reads it.
#[derive(Clone, Debug)]
pub struct CollectedSpan {
    pub service: String,
    pub name: String,
    /// Hexadecimal.
    pub trace: String,
    pub id: String,
    pub parent: String,
    /// Traces that it is linked to.
    pub links: Vec<String>,
    /// Unix nanoseconds.
    pub begun: u64,
    pub ended: u64,
    pub attributes: BTreeMap<String, String>,
    /// Error that it reports.
    pub error: Option<String>,
}

#[derive(Default)]
struct Got {
    connections: usize,
    /// Heads and bodies of requests, as they came.
    raw: Vec<(String, Vec<u8>)>,
    spans: Vec<CollectedSpan>,
}

pub struct Collector {
    pub port: u16,
    got: Arc<Mutex<Got>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::<Mutex<Got>>::default();
        let all = got.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                all.lock().connections += 1;
                tokio::spawn(serve(stream, all.clone()));
            }
        });
        Self { port, got }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn connections(&self) -> usize {
        self.got.lock().connections
    }

    /// True when `text` is in anything that was sent, heads of requests left out.
    pub fn was_sent(&self, text: &str) -> bool {
        let got = self.got.lock();
        got.raw.iter().any(|(_, body)| body.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    pub fn heads(&self) -> Vec<String> {
        self.got.lock().raw.iter().map(|(head, _)| head.clone()).collect()
    }

    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.got.lock().spans.clone()
    }

    /// Waits for a trace with spans of all these names, by service; returns all that it has.
    pub async fn until_trace(&self, what: &str, names: &[(&str, &str)]) -> Vec<CollectedSpan> {
        let traces = async || {
            let mut traces = BTreeMap::<String, Vec<CollectedSpan>>::new();
            for span in self.spans() {
                traces.entry(span.trace.clone()).or_default().push(span);
            }
            traces.into_values().collect::<Vec<_>>()
        };
        let whole = |trace: &Vec<CollectedSpan>| {
            names.iter().all(|(service, name)| trace.iter().any(|s| s.service == *service && s.name == *name))
        };
        let traces = eventually(what, traces, |traces| traces.iter().any(whole)).await;
        traces.into_iter().find(whole).unwrap()
    }
}

async fn serve(stream: TcpStream, got: Arc<Mutex<Got>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let begun = head.len();
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
            let line = head[begun..].trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap_or_default();
        {
            let mut got = got.lock();
            got.spans.extend(read(request));
            got.raw.push((head, body));
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.get_mut().write_all(answer).await.ok()?;
    }
}

fn read(request: ExportTraceServiceRequest) -> Vec<CollectedSpan> {
    let mut seen = Vec::new();
    for of_service in request.resource_spans {
        let resource = attributes(&of_service.resource.unwrap_or_default().attributes);
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for span in of_service.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            seen.push(CollectedSpan {
                service: service.clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
                begun: span.start_time_unix_nano,
                ended: span.end_time_unix_nano,
                attributes: attributes(&span.attributes),
                error: span.status.filter(|status| status.code == 2).map(|status| status.message),
                name: span.name,
            });
        }
    }
    seen
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    all.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
