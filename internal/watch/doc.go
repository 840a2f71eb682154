// Package watch keeps which sessions want to hear of changes to which keys, for services.
//
// # Purpose
//
// A session subscribes to one key, or to all that begin with a prefix, as often as it likes. Of a change it hears
// once, however many of its subscriptions are on the key; sessions hear in ascending order of their ids. That order,
// and the bytes of a snapshot, depend on what is subscribed to and not on how it came about.
//
// # Thread ownership
//
// A List belongs to the service that has it.
//
// # Failure behaviour
//
// A snapshot that Snapshot cannot have written is an ErrSnapshot.
//
// # Limits
//
// That of New. A key has 256 bytes at most. Whom a change concerns is found by looking at every subscription: the
// limit is to be a few hundred. All memory is allocated when a List is made.
package watch
