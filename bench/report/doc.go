// Package report makes one HTML file of the rows that `lockstep bench` writes.
//
// # Purpose
//
// Read takes files of JSON lines; New sorts their rows into series and figures; Write writes a page that needs nothing else: rows,
// figures, style, and the library that draws them (Observable Plot on D3, in the folder vendored) are in it, and it is not allowed to
// ask a network for anything. What a browser without scripts shows are the tables.
//
//	files of rows -> Read -> Rows -> New -> Report -> Write -> page -> the page's script -> charts
//
// A page has a digest over its rows, each with the conditions that it was measured in: Rows.Digest says whether files and a page
// belong together, ReadPage gives back what a page has.
//
// # Thread ownership
//
// Everything is values; nothing is shared.
//
// # Failure behaviour
//
// A line that is no row is an error that names file and line. A histogram that cannot be read is one too: a figure without the curve
// that its row promises would say something else than the row.
//
// # Limits
//
// Files of 256 MiB together, lines of 4 MiB, 20,000 rows, 12 series in a figure and 60 figures; what is more is left out of the
// figures, which say so, and stands in the tables.
package report
