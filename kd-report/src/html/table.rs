//! Tables.

use maud::{Markup, html};

use super::encode::visible;
use super::markdown::cell;
use crate::{Align, Table};

/// A table with its footnotes, in a frame of its own that scrolls sideways where it is too wide.
pub(super) fn table(table: &Table) -> Markup {
    let columns: Vec<(&str, Align)> = table.columns().collect();
    let named = columns.iter().any(|(name, _)| !name.is_empty());
    html! {
        div.scroll tabindex="0" role="group" aria-label="table" {
            table {
                @if named {
                    thead { tr {
                        @for (name, align) in &columns {
                            @if name.is_empty() {
                                td {}
                            } @else {
                                th scope="col" class=(side(*align)) { (cell(name)) }
                            }
                        }
                    } }
                }
                tbody {
                    @for row in table.rows() {
                        tr {
                            @for (place, (text, (_, align))) in row.iter().zip(&columns).enumerate() {
                                @if place == 0 && *align == Align::Left {
                                    th scope="row" { (cell(text)) }
                                } @else {
                                    td class=(side(*align)) { (cell(text)) }
                                }
                            }
                        }
                    }
                }
            }
        }
        @for (mark, note) in table.notes() { p.note { (mark) " " (visible(note)) } }
    }
}

fn side(align: Align) -> &'static str {
    match align {
        Align::Left => "l",
        Align::Right => "r",
    }
}
