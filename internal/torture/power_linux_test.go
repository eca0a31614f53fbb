package torture

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cannot skips a test, or fails it where every test must run.
func cannot(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("LEAT_TEST_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// A power cut at any instant, again and again, loses nothing that was acknowledged and duplicates nothing. The file system is a real
// ext4 that is told to drop everything that is not synced. The control is the same pipeline on a disk whose syncs do nothing.
func TestPowerCut(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		inside(t)
		return
	}
	const series = 30 // power cuts over one file system
	begun := time.Now()
	var all figures
	for range rounds(1) {
		r := newPowerRig(t, "")
		for n := range series {
			r.life(moment(n%3), r.cut)
			if err := r.check(0); err != nil {
				t.Fatalf("after %d power cuts: %v", r.figures.kills, err)
			}
		}
		r.drain()
		r.end()
		all.add(r.figures)
	}
	t.Logf("%d power cuts on ext4 (%d before the start was through), %d events: 0 lost, 0 duplicated; %.0f ms each",
		all.kills, all.unopened, all.events, float64(time.Since(begun).Milliseconds())/float64(all.kills))
	controlNoSync(t)
}

func controlNoSync(t *testing.T) {
	r := newPowerRig(t, seamNone)
	r.life(underway, r.cut) // so that there is something to begin with
	if err := r.check(0); err != nil {
		t.Fatalf("control without a defect: %v", err)
	}
	r.seam = seamNoSync
	for range 20 {
		r.life(underway, r.cut)
		if err := r.check(0); errors.Is(err, errLost) {
			t.Logf("control caught: %s, after %d power cuts: %v", r.seam, r.figures.kills-1, err)
			return
		} else if err != nil {
			t.Fatalf("control %s: %v", r.seam, err)
		}
	}
	t.Errorf("control not caught: %s, %d power cuts", r.seam, r.figures.kills)
}

// inside runs the test again in a process with mounts of its own: they are gone when it is, however it ends.
func inside(t *testing.T) {
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		cannot(t, "there is no mkfs.ext4: install e2fsprogs")
	}
	if os.Geteuid() != 0 {
		cannot(t, "only root may mount a file system")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		cannot(t, "there are no loop devices: "+err.Error())
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=0")
	cmd.Env = append(os.Environ(), insideEnv+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	stdin, err := cmd.StdinPipe() // its end is the end of the process
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err = cmd.Start(); errors.Is(err, unix.EPERM) {
		cannot(t, "this process may have no mounts of its own: "+err.Error())
	}
	if err == nil {
		err = cmd.Wait()
	}
	for line := range strings.Lines(out.String()) {
		if text, ok := strings.CutPrefix(line, "    power_linux_test.go:"); ok {
			_, text, _ = strings.Cut(text, ": ")
			t.Log(strings.TrimSpace(text))
		}
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if strings.Contains(out.String(), skipMark) {
		cannot(t, "the rig does not work here")
	}
}

const skipMark = "no power cut here:"

// powerRig is a rig whose directory is a file system of its own.
type powerRig struct {
	*rig
	image, mount string
	ended        bool
}

func newPowerRig(t *testing.T, s seam) *powerRig {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv(insideEnv), "disk-")
	if err != nil {
		t.Fatal(err)
	}
	p := &powerRig{image: filepath.Join(dir, "image"), mount: filepath.Join(dir, "mount")}
	err = errors.Join(os.Mkdir(p.mount, 0o700), os.WriteFile(p.image, nil, 0o600), os.Truncate(p.image, 1<<30))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", p.image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	if err := p.attach(); err != nil {
		t.Log(skipMark, err)
		t.SkipNow()
	}
	t.Cleanup(p.end)
	p.rig = newRig(t, serveNumbers(t), p.mount, s)
	return p
}

// end gives the loop device and the room back.
func (p *powerRig) end() {
	if p.ended {
		return
	}
	p.ended = true
	if err := errors.Join(unix.Unmount(p.mount, 0), os.Remove(p.image)); err != nil {
		p.t.Error(err)
	}
}

func (p *powerRig) attach() error {
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop", p.image, p.mount).CombinedOutput(); err != nil {
		return fmt.Errorf("mount a file system: %w: %s", err, out)
	}
	return nil
}

// cut cuts the power of the disk, and ends the process and brings the disk back. What was acknowledged counts only if it was heard
// before: a sync that is under way while the file system goes down may seem to succeed.
func (p *powerRig) cut(child *process) error {
	heard := child.stored.Load()
	provider := p.provider.(*numbers)
	provider.mu.Lock()
	learned := provider.learned
	provider.mu.Unlock()
	if err := shutdown(p.mount); err != nil {
		return fmt.Errorf("cut the power: %w", err)
	}
	_ = child.cmd.Process.Kill()
	<-child.silent
	_ = child.cmd.Wait() // killed, or ended because its disk was gone
	child.stored.Store(heard)
	provider.mu.Lock()
	provider.learned = learned
	provider.mu.Unlock()
	if err := unix.Unmount(p.mount, 0); err != nil {
		return fmt.Errorf("unmount: %w", err)
	}
	return p.attach()
}

// shutdown makes ext4 drop every byte and directory entry that is not durable.
func shutdown(mount string) error {
	const (
		ioctl    = 0x8004587d // EXT4_IOC_SHUTDOWN: _IOR('X', 125, uint32)
		dropsLog = uint32(2)
	)
	f, err := os.Open(mount)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := dropsLog
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), ioctl, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return errno
	}
	return nil
}
