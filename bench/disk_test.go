package bench

import "testing"

// TestFioPercentilesLieInWhatItMeasured: fio gives percentiles as bounds of its buckets, below the least and above the
// greatest time that it measured when there were few.
func TestFioPercentilesLieInWhatItMeasured(t *testing.T) {
	var row JournalRow
	err := row.setFio([]byte(`{"jobs":[{"write":{"bw_bytes":1398101333,"iops":1333.3,"io_bytes":4194304,"total_ios":4,
		"clat_ns":{"min":399903,"max":675252,"percentile":{"50.000000":399360,"99.000000":675840}}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if row.MinUs != 399.903 || row.P50Us != 399.903 || row.P99Us != 675.252 || row.MaxUs != 675.252 || row.Writes != 4 {
		t.Errorf("%+v", row)
	}
	if err := row.setFio([]byte(`{"jobs":[]}`)); err == nil {
		t.Error("no job, no error")
	}
}
