// Package judge holds what services did against what they promise, record by record of a log.
//
// # Purpose
//
// A log says what was asked, and a replay of it what was answered. A Judge is told both, in order, and knows what the answers of
// each service must be like (package history has the rules, without a service in them): no lock with two holders, no message of a
// queue lost, no timer early, no compare-and-set that ignores the version, no transaction by halves. The simulator has it judge what
// a cluster has committed, the system tests what is in journals.
//
//	records, responses ── Judge ──┬── kv          ── history.ReplayKV
//	                              ├── lock        ── history.Locks
//	                              ├── queue       ── history.Queues
//	                              ├── timer       ── history.Timers
//	                              └── transaction: the commands of it, each to its own
//
// # Thread ownership
//
// A Judge belongs to its caller's goroutine.
//
// # Failure behaviour
//
// The first contradiction is the error of Record or End; it names the record.
package judge
