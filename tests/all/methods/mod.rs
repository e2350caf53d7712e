//! Samplers against closed forms.

mod smoke;
