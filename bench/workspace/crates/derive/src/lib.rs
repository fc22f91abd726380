use proc_macro::TokenStream;
use quote::quote;
use syn::{parse_macro_input, DeriveInput};

/// Gives a type its own name.
#[proc_macro_derive(Describe)]
pub fn describe(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let (name, text) = (&input.ident, input.ident.to_string());
    quote! { impl #name { pub fn describe() -> &'static str { #text } } }.into()
}
