// Package examples runs the commands that the documents and --help show, with the binary that this tree builds.
//
// # Purpose
//
// A fenced block of README.md or docs/*.md behind a line `<!-- run -->` is run as a shell script in an empty folder, and
// must end with exit code 0; `<!-- run: exit 1 -->` says that it must end with 1. The examples that --help of the bench and
// tune commands shows are run in the same way, all but those that a table names with the reason. A file NAME.json
// that a block leaves behind must have JSON lines in it.
//
//	block ---- sh -e ---- lockstep, found first in PATH: this test binary
//	                           |   makes measurements short, puts a lab's addresses, cluster and config file
//	                           |   in the place of the example's, and keeps away from this host's settings
//	                           v
//	                      bin/lockstep, where the lab's client is if it speaks with a cluster
//
// It has no code of its own but tests.
//
// # Running
//
// `make system` runs the documents' blocks, `make examples` those and the examples of --help; without LOCKSTEP_EXAMPLES
// (docs or all) they skip and say why. That every flag of an example is one is checked always.
//
// # Limits
//
// Figures are not looked at: measurements of a fifth of a second say nothing. What an example prints is not compared.
package examples
