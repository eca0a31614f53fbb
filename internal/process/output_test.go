package process

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLinesAreCutAndLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := &Output{Log: slog.New(slog.NewTextHandler(&log, nil))}
		var last tail
		out := o.writer(&last, "stdout")
		fmt.Fprintf(out, "first\r\n\nhal")
		fmt.Fprintf(out, "f \xff\n%s\n", strings.Repeat("x", LineBytes+10))
		for _, want := range []string{`msg=first output=stdout`, `msg="half ` + "\ufffd" + `" output=stdout`, "x…\" output"} {
			if !strings.Contains(strings.ReplaceAll(log.String(), "x… output", `x…" output`), want) {
				t.Errorf("%q is missing in %.300q", want, log.String())
			}
		}
		if o.Dropped() != 10 {
			t.Errorf("%d bytes dropped, want 10", o.Dropped())
		}
		line := []byte(strings.Repeat("y", 1000) + "\n")
		for range 10_000 {
			if _, err := out.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		if log.Len() > 2<<20 || o.Dropped() < 8_000_000 {
			t.Errorf("10 MB of output in one second: %d bytes in the log, %d dropped", log.Len(), o.Dropped())
		}
		before := o.Dropped()
		time.Sleep(time.Second) // of the bubble
		fmt.Fprint(out, "the end")
		out.flush()
		if !strings.Contains(log.String(), `msg="the end"`) || !strings.Contains(log.String(), fmt.Sprintf("bytes_not_logged=%d", before-10)) {
			t.Errorf("a second later: %s", log.String()[log.Len()-500:])
		}
		if got := string(last.bytes()); len(got) != TailBytes || !strings.HasSuffix(got, "y\nthe end") {
			t.Errorf("the tail has %d bytes and ends with %q", len(got), got[len(got)-20:])
		}
	})
}

func TestTheTailHasTheLastBytes(t *testing.T) {
	var last tail
	var all []byte
	for i := range 3000 {
		part := bytes.Repeat([]byte{byte('a' + i%26)}, i*37%5000)
		all = append(all, part...)
		last.add(part)
		if want := all[max(0, len(all)-TailBytes):]; !bytes.Equal(last.bytes(), want) {
			t.Fatalf("after %d bytes the tail is wrong", len(all))
		}
	}
}

func TestEnvironmentsInheritLittle(t *testing.T) {
	t.Setenv("LEAT_SECRET", "hunter2")
	t.Setenv("HOME", "/home/somebody")
	t.Setenv("PATH", "/bin")
	t.Setenv("LANG", "C")
	got := strings.Join(Environment(map[string]string{"HOME": "/mine", "X": "1"}), " ")
	if got != "HOME=/mine LANG=C PATH=/bin X=1" {
		t.Error(got)
	}
}
