// Package journaltest makes up the directories of nodes for the tests of what reads journals.
//
// # Purpose
//
// A Log writes records of any kind into segments, as fast as the disk goes, and makes a node's directory of it, as if a
// node had run there. Flow fills one with what a small cluster's log holds: terms, a config, sessions, orders, echoes.
//
// # Thread ownership
//
// A Log belongs to the test's goroutine.
//
// # Failure behaviour
//
// Whatever fails ends the test.
//
// # Limits
//
// One message is at most wire.MaxMessage long; memory does not depend on the size of the log.
package journaltest
