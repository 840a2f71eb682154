// Package command is the command line of Lockstep: everything that the binary does is one of its commands.
//
// # Purpose
//
// It makes and runs nodes, shows and operates them, sends messages from a shell, measures clusters, and reads journals. Each file
// is a command, or a group's share of one: order.go, bench_levels.go, journal_dump.go.
//
//	lockstep NAME ── cobra ──> RunE of that command ──> node, client, bench, internal/lab, internal/inspect, ...
//
// Commands parse, check, call what does the work and print; the work itself is in those packages. What a command needs of the
// shell (LOCKSTEP_NODES, LOCKSTEP_CLUSTER, `lab exec`) its help names.
//
// # Failure behaviour
//
// Exit codes: 0 done; 1 failed, or what was checked does not hold; 2 something for the user to mend (flags, config, directory,
// privileges, a port in use); 3 and 4 of `lockstep client`: refused, and unknown. The error, on one line of standard error, says
// what, where and what to do.
package command
