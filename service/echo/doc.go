// Package echo is the smallest service.
//
// # Purpose
//
// It answers every message with the message's own payload: for measuring the way through the cluster without the
// work of a real service, and as an example of what a service is.
//
// # Thread ownership
//
// As every service, it belongs to the driver's thread.
//
// # Failure behaviour
//
// None: every payload is a good one.
//
// # Limits
//
// A message is no longer than wire.MaxMessage, nor is its response.
package echo
