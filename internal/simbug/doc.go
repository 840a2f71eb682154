// Package simbug plants bugs, to prove that the simulator has teeth.
//
// # Purpose
//
// Where production code upholds a rule that the simulator is said to check, a line asks On and breaks the rule if a bug
// is planted there. Without the build tag simbug, On is constant false and all of it is compiled away. `make sim-bugs`
// builds with the tag, plants one bug after the other, and runs seeds until the simulator has caught it.
//
// # Thread ownership
//
// Plant is called while nothing runs; On from any thread.
//
// # Failure behaviour
//
// None without the tag. With it, a planted bug breaks what its name says.
//
// # Limits
//
// One bug at a time.
package simbug
