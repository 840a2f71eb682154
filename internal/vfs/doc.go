// Package vfs is the file seam below the journal: the real file system, one in memory that can lose power, and a
// wrapper that injects faults.
//
// # Purpose
//
// Everything a node stores goes through FS and File, so that the same code runs on a disk, in the simulator, and in
// tests that cut the power at every step or fail every operation once.
//
// # Thread ownership
//
// An FS may be used from any thread. A File belongs to one thread at a time, except that Real files may be read
// (ReadAt) from several.
//
// # Failure behaviour
//
// Errors wrap the operating system's (os.ErrNotExist, syscall.ENOSPC, syscall.EIO, syscall.EINVAL for a refused
// open flag), in the simulated file systems as well; use errors.Is.
//
// # Durability
//
// WriteAt is durable after the next Sync of the same file, or at once when the file was opened with Dsync. Creating,
// renaming and removing a name is durable after SyncDir of its directory, never earlier. Mem takes a program at its
// word: what was not synced is lost, kept or torn at a sector boundary as the caller of Crash decides.
//
// # Limits
//
// Only what a journal needs: no permissions, links, append mode or memory mapping. Mem keeps whole files in memory.
package vfs
