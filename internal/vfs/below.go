package vfs

import "io"

// Below is the part of the operating system's file system below the directory Root: tests run on it what they also run
// on Mem, under the same names.
type Below struct{ Root string }

// OpenFile implements FS.
func (b *Below) OpenFile(path string, flags Flags) (File, error) {
	return Real{}.OpenFile(b.Root+path, flags)
}

// Remove implements FS.
func (b *Below) Remove(path string) error { return Real{}.Remove(b.Root + path) }

// Rename implements FS.
func (b *Below) Rename(oldPath, newPath string) error {
	return Real{}.Rename(b.Root+oldPath, b.Root+newPath)
}

// MkdirAll implements FS.
func (b *Below) MkdirAll(path string) error { return Real{}.MkdirAll(b.Root + path) }

// ReadDir implements FS.
func (b *Below) ReadDir(path string) ([]string, error) { return Real{}.ReadDir(b.Root + path) }

// SyncDir implements FS.
func (b *Below) SyncDir(path string) error { return Real{}.SyncDir(b.Root + path) }

// Stat implements FS.
func (b *Below) Stat(path string) (int64, error) { return Real{}.Stat(b.Root + path) }

// Lock implements FS.
func (b *Below) Lock(path string) (io.Closer, error) { return Real{}.Lock(b.Root + path) }

// Free implements FS.
func (b *Below) Free(path string) (int64, error) { return Real{}.Free(b.Root + path) }
