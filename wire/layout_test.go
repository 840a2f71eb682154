package wire

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lockstep/wire/fb"
)

// fixed lists every fixed layout: how to lay it over bytes, and its size.
var fixed = map[string]struct {
	over any // *fb.X
	size int
}{
	"DatagramHeader": {new(fb.DatagramHeader), DatagramHeaderSize},
	"RecordHeader":   {new(fb.RecordHeader), RecordHeaderSize},
	"TermRecord":     {new(fb.TermRecord), TermRecordSize},
	"ConfigHeader":   {new(fb.ConfigHeader), ConfigHeaderSize},
	"ConfigMember":   {new(fb.ConfigMember), ConfigMemberSize},
	"SessionOpen":    {new(fb.SessionOpen), SessionOpenSize},
	"Reason":         {new(fb.Reason), ReasonSize},
	"TimerRecord":    {new(fb.TimerRecord), TimerRecordSize},
	"SkipRecord":     {new(fb.SkipRecord), SkipRecordSize},
	"SnapshotRecord": {new(fb.SnapshotRecord), SnapshotRecordSize},
	"LogHeader":      {new(fb.LogHeader), LogHeaderSize},
	"Status":         {new(fb.Status), StatusSize},
	"Nak":            {new(fb.Nak), NakSize},
	"Align":          {new(fb.Align), AlignSize},
	"TermStart":      {new(fb.TermStart), TermStartSize},
	"AlignAnswer":    {new(fb.AlignAnswer), AlignAnswerSize},
	"Ballot":         {new(fb.Ballot), BallotSize},
	"BallotAnswer":   {new(fb.BallotAnswer), BallotAnswerSize},
	"Transfer":       {new(fb.Transfer), TransferSize},
	"Diverged":       {new(fb.Diverged), DivergedSize},
	"Connect":        {new(fb.Connect), ConnectSize},
	"Challenge":      {new(fb.Challenge), ChallengeSize},
	"Prove":          {new(fb.Prove), ProveSize},
	"Accept":         {new(fb.Accept), AcceptSize},
	"Reject":         {new(fb.Reject), RejectSize},
	"Redirect":       {new(fb.Redirect), RedirectSize},
	"MessagesHeader": {new(fb.MessagesHeader), MessagesHeaderSize},
	"MessageHeader":  {new(fb.MessageHeader), MessageHeaderSize},
	"FragmentHeader": {new(fb.FragmentHeader), FragmentHeaderSize},
	"Stages":         {new(fb.Stages), StagesSize},
	"AnswersHeader":  {new(fb.AnswersHeader), AnswersHeaderSize},
	"AnswerHeader":   {new(fb.AnswerHeader), AnswerHeaderSize},
}

// accessor is the name flatc gives a field's accessor: body_length becomes BodyLength.
func accessor(field string) string {
	var b strings.Builder
	for _, part := range strings.Split(field, "_") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// extent finds which bytes of the layout a field's accessor reads, by asking it: one bit at a time is set.
func extent(t *testing.T, over any, size int, name string) (offset, width int) {
	t.Helper()
	b := make([]byte, size)
	v := reflect.ValueOf(over)
	v.MethodByName("Init").Call([]reflect.Value{reflect.ValueOf(b), reflect.Zero(v.MethodByName("Init").Type().In(1))})
	get := v.MethodByName(name)
	if !get.IsValid() {
		t.Fatalf("%T has no accessor %s", over, name)
	}
	offset = -1
	for i := range b {
		b[i] = 0x80
		got := get.Call(nil)[0].Uint()
		b[i] = 0
		if got == 0 {
			continue
		}
		if offset < 0 {
			offset = i
		}
		if want := uint64(0x80) << (8 * (i - offset)); got != want {
			t.Fatalf("%T.%s: byte %d reads as %#x, want %#x: not little-endian", over, name, i, got, want)
		}
		width++
	}
	return offset, width
}

// TestEveryAccessorsOffset checks every field of docs/wire.md against what the generated accessors read and write.
func TestEveryAccessorsOffset(t *testing.T) {
	docs := readDocs(t)
	for name, layout := range fixed {
		next, fields := 0, 0
		for _, row := range docs[name] {
			offset, size := number(t, row[0]), number(t, row[1])
			if offset != next || offset%size != 0 {
				t.Errorf("%s.%s: offset %d, size %d: a hole, an overlap, or not aligned", name, row[2], offset, size)
			}
			next = offset + size
			fields++
			gotOffset, gotSize := extent(t, layout.over, layout.size, accessor(row[2]))
			if gotOffset != offset || gotSize != size {
				t.Errorf("%s.%s: docs say %d+%d, the accessor reads %d+%d", name, row[2], offset, size, gotOffset, gotSize)
			}
			checkMutator(t, layout.over, layout.size, accessor(row[2]), offset, size)
		}
		if next != layout.size {
			t.Errorf("%s: docs end at %d, the size is %d", name, next, layout.size)
		}
		mutators := 0
		for i := range reflect.TypeOf(layout.over).NumMethod() {
			if strings.HasPrefix(reflect.TypeOf(layout.over).Method(i).Name, "Mutate") {
				mutators++
			}
		}
		if mutators != fields {
			t.Errorf("%s: docs have %d fields, the schema %d", name, fields, mutators)
		}
	}
}

// checkMutator checks that a field's mutator writes its bytes and no other.
func checkMutator(t *testing.T, over any, size int, name string, offset, width int) {
	t.Helper()
	b := make([]byte, size)
	v := reflect.ValueOf(over)
	v.MethodByName("Init").Call([]reflect.Value{reflect.ValueOf(b), reflect.Zero(v.MethodByName("Init").Type().In(1))})
	set := v.MethodByName("Mutate" + name)
	value := reflect.New(set.Type().In(0)).Elem()
	value.SetUint(^uint64(0) >> (64 - 8*width))
	set.Call([]reflect.Value{value})
	for i, x := range b {
		if inside := i >= offset && i < offset+width; inside != (x == 0xff) {
			t.Errorf("%T.Mutate%s: byte %d is %#x", over, name, i, x)
		}
	}
}

// TestRecordHeaderLayout pins the record header a second time: it lies in journals, so it can never change.
func TestRecordHeaderLayout(t *testing.T) {
	for _, f := range []struct {
		name         string
		offset, size int
	}{
		{"Length", 0, 4}, {"Checksum", 4, 4}, {"Position", 8, 8}, {"Sequence", 16, 8}, {"Timestamp", 24, 8},
		{"Session", 32, 8}, {"Correlation", 40, 8}, {"Term", 48, 4}, {"PrevChecksum", 52, 4}, {"Kind", 56, 1},
		{"Flags", 57, 1}, {"Service", 58, 2}, {"Acked", 60, 4},
	} {
		offset, size := extent(t, new(fb.RecordHeader), RecordHeaderSize, f.name)
		if offset != f.offset || size != f.size {
			t.Errorf("%s: %d+%d, want %d+%d", f.name, offset, size, f.offset, f.size)
		}
	}
	if RecordHeaderSize != 64 || RecordHeaderSize%Alignment != 0 || MaxRecord%Alignment != 0 {
		t.Error("sizes of records")
	}
}

// TestEverySchemaStructIsListed finds a struct that was added to a schema and is not covered by the tests here.
func TestEverySchemaStructIsListed(t *testing.T) {
	for _, schema := range []string{"record.fbs", "datagram.fbs", "client.fbs"} {
		b, err := os.ReadFile(schema)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(b), "\n") {
			if name, ok := strings.CutPrefix(line, "struct "); ok {
				if name = strings.TrimSuffix(name, " {"); fixed[name].over == nil {
					t.Errorf("%s: struct %s is not in the layout test", schema, name)
				}
			}
		}
	}
}

// TestGeneratedCodeIsCurrent runs flatc again, where it is the version that the committed code was made with.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	version, err := exec.Command("flatc", "--version").Output()
	if err != nil {
		t.Skipf("flatc is not to be had: %v", err)
	}
	if got := strings.TrimSpace(string(version)); got != "flatc version 2.0.8" {
		t.Skipf("%s: the committed code was made with 2.0.8", got)
	}
	dir := t.TempDir()
	args := []string{"--go", "-o", dir, "record.fbs", "datagram.fbs", "client.fbs"}
	if out, err := exec.Command("flatc", args...).CombinedOutput(); err != nil {
		t.Fatalf("flatc: %v\n%s", err, out)
	}
	fresh, _ := filepath.Glob(filepath.Join(dir, "fb", "*.go"))
	committed, _ := filepath.Glob("fb/*.go")
	if len(fresh) == 0 || len(committed) != len(fresh)+1 { // and fb/doc.go
		t.Errorf("flatc writes %d files, %d are there", len(fresh), len(committed))
	}
	for _, path := range fresh {
		want, _ := os.ReadFile(path)
		got, err := os.ReadFile(filepath.Join("fb", filepath.Base(path)))
		if err != nil || string(got) != string(want) {
			t.Errorf("fb/%s is not what flatc writes: run go generate", filepath.Base(path))
		}
	}
}
