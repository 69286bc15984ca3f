//! Declaration of a role's metrics: one table, a line for each metric, whose comment is the help that Prometheus shows.
//! A metric that is counted along the way is an atomic, and one that is read at each request is [`Seen`].

use std::collections::HashMap;

use prometheus::core::Desc;
use prometheus::proto::{Counter, Gauge as Value, LabelPair, Metric as Sample, MetricFamily, MetricType};
// The macro names the last two from here, so that its users need no import.
pub use prometheus::{Error, Registry};
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

/// One line of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    pub name: &'static str,
    /// Meaning of the value, and the action to take.
    pub help: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
}

/// A type that a line of a table can have.
pub trait Metric: Sized {
    /// As [`Spec::kind`].
    const KIND: &'static str;

    /// A metric that is not registered yet.
    ///
    /// # Errors
    /// When a name or a label is not valid: a mistake in the program.
    fn made(spec: &Spec) -> Result<Self, Error>;

    /// Shows it whenever `registry` is asked.
    ///
    /// # Errors
    /// When its name is taken: a mistake in the program.
    fn shown(&self, registry: &Registry) -> Result<(), Error>;
}

macro_rules! counted {
    ($($type:ty, $kind:literal, $spec:ident => $made:expr;)*) => {$(
        impl Metric for $type {
            const KIND: &'static str = $kind;

            fn made($spec: &Spec) -> Result<Self, Error> {
                $made
            }

            fn shown(&self, registry: &Registry) -> Result<(), Error> {
                registry.register(Box::new(self.clone()))
            }
        }
    )*};
}

counted! {
    IntCounter, "counter", spec => IntCounter::new(spec.name, spec.help);
    IntCounterVec, "counter", spec => IntCounterVec::new(Opts::new(spec.name, spec.help), spec.labels);
    IntGauge, "gauge", spec => IntGauge::new(spec.name, spec.help);
    IntGaugeVec, "gauge", spec => IntGaugeVec::new(Opts::new(spec.name, spec.help), spec.labels);
    Gauge, "gauge", spec => Gauge::new(spec.name, spec.help);
    Histogram, "histogram", spec => Histogram::with_opts(buckets(spec));
    HistogramVec, "histogram", spec => HistogramVec::new(buckets(spec), spec.labels);
}

fn buckets(spec: &Spec) -> HistogramOpts {
    HistogramOpts::new(spec.name, spec.help).buckets(spec.buckets.to_vec())
}

/// A gauge whose samples are read anew for every answer. So a removed subject leaves no series behind, and nothing is
/// kept up to date between requests. A collector shows it.
pub type Seen = LookedUp<false>;
/// The same for values that only grow, and are counted elsewhere.
pub type SeenCounter = LookedUp<true>;

/// See [`Seen`] and [`SeenCounter`].
#[derive(Clone, Debug)]
pub struct LookedUp<const COUNTER: bool> {
    spec: Spec,
    desc: Desc,
}

impl<const COUNTER: bool> Metric for LookedUp<COUNTER> {
    const KIND: &'static str = if COUNTER { "counter" } else { "gauge" };

    fn made(spec: &Spec) -> Result<Self, Error> {
        let labels = spec.labels.iter().map(|&label| label.to_owned()).collect();
        let desc = Desc::new(spec.name.into(), spec.help.into(), labels, HashMap::new())?;
        Ok(Self { spec: *spec, desc })
    }

    /// The collector that reads it shows it.
    fn shown(&self, _: &Registry) -> Result<(), Error> {
        Ok(())
    }
}

impl<const COUNTER: bool> LookedUp<COUNTER> {
    /// The description that a registry requests of its collector.
    pub fn desc(&self) -> &Desc {
        &self.desc
    }

    /// The one sample of a line without labels.
    pub fn value(&self, value: f64) -> MetricFamily {
        self.family([([], value)])
    }

    /// Its samples now: values of the labels, in the table's order, and the value.
    pub fn family<'a, const LABELS: usize>(
        &self,
        samples: impl IntoIterator<Item = ([&'a str; LABELS], f64)>,
    ) -> MetricFamily {
        debug_assert_eq!(LABELS, self.spec.labels.len(), "{}", self.spec.name);
        let mut family = MetricFamily::default();
        family.set_name(self.spec.name.into());
        family.set_help(self.spec.help.into());
        family.set_field_type(if COUNTER { MetricType::COUNTER } else { MetricType::GAUGE });
        family.set_metric(samples.into_iter().map(|(labels, value)| self.sample(&labels, value)).collect());
        family
    }

    fn sample(&self, values: &[&str], value: f64) -> Sample {
        let labels = self.spec.labels.iter().zip(values);
        let mut pairs: Vec<LabelPair> = labels.map(|(name, value)| pair(name, value)).collect();
        pairs.sort_by(|a, b| a.name().cmp(b.name()));
        let mut sample = Sample::from_label(pairs);
        if COUNTER {
            let mut shown = Counter::default();
            shown.set_value(value);
            sample.set_counter(shown);
        } else {
            let mut shown = Value::default();
            shown.set_value(value);
            sample.set_gauge(shown);
        }
        sample
    }
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.into());
    pair.set_value(value.into());
    pair
}

/// Declares a table:
///
/// ```
/// rsm_shared::metrics_table! {
///     /// What a kitchen measures.
///     pub struct Kitchen {
///         /// Plates that went out. None for an hour at noon: ask the cook.
///         pub plates: prometheus::IntCounterVec = "kitchen_plates_total" by ["dish"],
///         /// From an order to its plate.
///         pub wait: prometheus::Histogram = "kitchen_wait_seconds" in [60.0, 600.0],
///     }
/// }
/// let registry = prometheus::Registry::new();
/// let kitchen = Kitchen::registered(&registry)?;
/// kitchen.plates.with_label_values(&["soup"]).inc();
/// assert_eq!(Kitchen::SPECS[0].help, "Plates that went out. None for an hour at noon: ask the cook.");
/// # Ok::<(), prometheus::Error>(())
/// ```
///
/// The comment of a line is the help text that Prometheus shows: the meaning of the value, and the action to take.
#[macro_export]
macro_rules! metrics_table {
    (
        $(#[doc = $about:literal])+
        $(#[derive($($derived:path),+)])?
        pub struct $table:ident {$(
            $(#[doc = $help:literal])+
            pub $field:ident: $type:ty = $name:literal $(by [$($label:literal),+])? $(in $buckets:expr)?,
        )+}
    ) => {
        $(#[doc = $about])+
        $(#[derive($($derived),+)])?
        pub struct $table {$(
            $(#[doc = $help])+
            pub $field: $type,
        )+}

        impl $table {
            /// Every line of the table.
            pub const SPECS: &'static [$crate::ops::metrics::table::Spec] =
                &[$($crate::metrics_table!(@spec $type, $name, [$($($label),+)?], [$($buckets)?], $($help)+)),+];

            /// All lines, not registered yet.
            ///
            /// # Errors
            /// When a name or a label is not valid: a mistake in the program.
            pub fn unregistered() -> Result<Self, $crate::ops::metrics::table::Error> {
                use $crate::ops::metrics::table::Metric as _;
                Ok(Self {$(
                    $field: <$type>::made(
                        &$crate::metrics_table!(@spec $type, $name, [$($($label),+)?], [$($buckets)?], $($help)+)
                    )?,
                )+})
            }

            /// All lines, shown whenever `registry` is asked.
            ///
            /// # Errors
            /// When a name is not valid, or is taken: a mistake in the program.
            pub fn registered(
                registry: &$crate::ops::metrics::table::Registry,
            ) -> Result<Self, $crate::ops::metrics::table::Error> {
                use $crate::ops::metrics::table::Metric as _;
                let table = Self::unregistered()?;
                $(table.$field.shown(registry)?;)+
                Ok(table)
            }
        }
    };
    (@spec $type:ty, $name:literal, [$($label:literal),*], [$($buckets:expr)?], $($help:literal)+) => {
        $crate::ops::metrics::table::Spec {
            name: $name,
            help: concat!($($help),+).trim_ascii(),
            kind: <$type as $crate::ops::metrics::table::Metric>::KIND,
            labels: &[$($label),*],
            buckets: $crate::metrics_table!(@buckets $($buckets)?),
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:expr) => { &$buckets };
}
