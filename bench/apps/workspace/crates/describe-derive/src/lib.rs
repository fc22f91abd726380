//! `#[derive(Describe)]`: a `describe()` that names the type and its fields.
use proc_macro::TokenStream;
use quote::quote;
use syn::{parse_macro_input, Data, DeriveInput, Fields};

#[proc_macro_derive(Describe)]
pub fn derive_describe(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let name = &input.ident;
    let title = name.to_string();
    let fields = field_names(&input.data);
    let (before, generics, bounds) = input.generics.split_for_impl();
    quote! {
        impl #before #name #generics #bounds {
            pub fn describe() -> (&'static str, &'static [&'static str]) {
                (#title, &[#(#fields),*])
            }
        }
    }
    .into()
}

fn field_names(data: &Data) -> Vec<String> {
    match data {
        Data::Struct(body) => match &body.fields {
            Fields::Named(named) => named
                .named
                .iter()
                .filter_map(|field| field.ident.as_ref().map(ToString::to_string))
                .collect(),
            Fields::Unnamed(unnamed) => (0..unnamed.unnamed.len())
                .map(|index| index.to_string())
                .collect(),
            Fields::Unit => Vec::new(),
        },
        Data::Enum(body) => body
            .variants
            .iter()
            .map(|variant| variant.ident.to_string())
            .collect(),
        Data::Union(_) => Vec::new(),
    }
}
