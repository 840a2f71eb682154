package service

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"lockstep/wire"
	"lockstep/wire/flat"
)

// ChainedHash is the chained hash over (position, outputs) as it stands.
func (d *Driver) ChainedHash() uint64 { return d.hash }

// SetHints has a driver that has applied nothing begin with the skip records of an opened log.
func (d *Driver) SetHints(hints ...wire.SkipAt) { d.ahead.begin(hints, nil, 0) }

// WriteSnapshot writes a snapshot of the state as it is, between two records.
func (d *Driver) WriteSnapshot(to io.Writer) error {
	var h SnapshotHead
	var w chunkWriter
	d.describe(&h, d.digest())
	w.begin(to)
	return d.write(&w, &h)
}

// Reseal makes the checksums of the chunks in b right, as far as b can be told into chunks.
func Reseal(b []byte) {
	sum := uint32(0)
	for len(b) >= chunkHeader {
		n := int(min(uint64(binary.LittleEndian.Uint32(b[4:]))+chunkHeader, uint64(len(b))))
		sum = crc32.Update(sum, castagnoli, b[4:n])
		binary.LittleEndian.PutUint32(b, sum)
		b = b[n:]
	}
}

// TransactionTables are the tables that messages of transactions are verified by.
func TransactionTables() map[string]flat.Table {
	return map[string]flat.Table{"Command": commandTable, "TransactionRequest": transactionTable, "Committed": committedTable,
		"Aborted": abortedTable, "TransactionResponse": transactionOutcomeTable}
}
