//! Declaration of a table of keys: one macro makes the structs, the list of keys and the reading of values from it, so
//! that a key cannot be in one of them only.

use super::form::Form;

/// A group of keys, which is a table of TOML.
#[derive(Debug)]
pub struct Section {
    /// Name of the TOML table; empty for the keys before the first table.
    pub name: &'static str,
    /// Subject of the section.
    pub doc: &'static str,
    /// In the order of `config/default.toml`.
    pub keys: &'static [Key],
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// With its section: `api.listen`.
    pub name: &'static str,
    /// Effect of the value; unit and bounds are in `form`.
    pub doc: &'static str,
    /// TOML of the default.
    pub default: &'static str,
    /// Which values are valid.
    pub form: Form,
}

impl Key {
    /// Name within its section: `listen`.
    pub fn short_name(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

/// Declares the configuration: keys outside a section, then sections. `section NAME: Struct` makes the struct, `fields
/// NAME: Struct` fills one that exists elsewhere. Each key has its doc comment, type, default in TOML, and [`Form`].
macro_rules! configuration {
    (
        general { $( $(#[doc = $top_doc:literal])+ $top:ident: $top_type:ty = $top_default:tt, $top_form:expr; )* }
        $(
            $(#[doc = $section_doc:literal])+
            $kind:ident $section:ident: $name:ident {
                $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:tt, $form:expr; )*
            }
        )*
    ) => {
        /// The effective configuration, checked.
        #[derive(Clone, Debug)]
        pub struct Config {
            $( $(#[doc = $top_doc])+ pub $top: $top_type, )*
            $( $(#[doc = $section_doc])+ pub $section: $name, )*
        }

        $(
            $crate::config::declare::define_section! {
                $kind $(#[doc = $section_doc])+ $name { $( $(#[doc = $doc])+ $field: $type, )* }
            }
        )*

        /// Every key, in the order of `config/default.toml`.
        pub const SECTIONS: &[Section] = &[
            Section {
                name: "",
                doc: "",
                keys: &[ $( Key {
                    name: stringify!($top),
                    doc: concat!($($top_doc),+),
                    default: stringify!($top_default),
                    form: $top_form,
                }, )* ],
            },
            $( Section {
                name: stringify!($section),
                doc: concat!($($section_doc),+),
                keys: &[ $( Key {
                    name: concat!(stringify!($section), ".", stringify!($field)),
                    doc: concat!($($doc),+),
                    default: stringify!($default),
                    form: $form,
                }, )* ],
            }, )*
        ];

        impl Config {
            /// Takes every value out of the merged layers; bounds are not checked yet.
            pub(super) fn read(layers: &::config::Config) -> Result<Self, BadConfig> {
                Ok(Self {
                    $( $top: Setting::read(layers, stringify!($top))?, )*
                    $( $section: $name {
                        $( $field: Setting::read(layers, concat!(stringify!($section), ".", stringify!($field)))?, )*
                    }, )*
                })
            }

            /// The values, in the order of the keys in [`SECTIONS`].
            pub(super) fn settings(&self) -> Vec<&dyn Setting> {
                vec![ $( &self.$top, )* $( $( &self.$section.$field, )* )* ]
            }
        }
    };
}

/// The struct of a section, unless it exists already.
macro_rules! define_section {
    (section $(#[doc = $section_doc:literal])+ $name:ident { $( $(#[doc = $doc:literal])+ $field:ident: $type:ty, )* }) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )*
        }
    };
    (fields $($anything:tt)*) => {};
}

pub(super) use {configuration, define_section};
