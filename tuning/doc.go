// Package tuning says what a host must look like to be fit for Lockstep, changes what can be changed, and puts it back.
//
// # Purpose
//
// An Item is one thing of the host: what is looked at, why, and how it is changed. Check looks at every item that a
// profile wants and makes a Finding of each: its state, what it is, what it should be, and the settings that mend it.
// Apply writes those settings, Revert puts back what Apply found. What only the boot loader can change (kernel
// parameters) is printed by BootLine and never edited.
//
//	Items --Look(host, target)--> Findings --Settings--> Apply --originals--> state file --> Revert
//
// A setting is named by kind and name. Of kind "file" the name is a path below the host's root and the value the file's
// text; every other kind is a Backend that a Host was given with Register.
//
// # Thread ownership
//
// Everything here is cold: it runs once at start, or for `lockstep tune`. A Host is one goroutine's at a time.
//
// # Failure behaviour
//
// What cannot be read is a finding, never an error: a container without /sys must not keep a node from starting. It is
// NoPermission when the kernel says so, else Unsupported with the reason in Current.
//
// Apply stores the originals of all it is about to change, synced, before it changes the first; so a process killed
// anywhere leaves a state file from which Revert restores the host. A setting that fails is told and the others go on.
// Revert leaves alone what somebody else has changed since, and says so. A state file of another boot is forgotten by
// name: a boot resets every setting there is.
//
// # Limits
//
// All files are read below a root folder, / in production, so that every state of every item is tested on a made-up
// tree. Check changes nothing. Of an interrupt or a thread of RCU's that may run on a hot core, and of the power policy
// of PCIe, it writes the value that is there already: no other way tells whether the kernel lets it be changed.
package tuning
