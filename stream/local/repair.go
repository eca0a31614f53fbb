package local

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leatstream/leat"
)

// RepairOptions change how Repair works. The zero RepairOptions are right for production.
type RepairOptions struct {
	FS     vfs.FS       // the file system; nil is the disk of this machine
	Logger *slog.Logger // takes what an operator should know; nil discards it
	DryRun bool         // change nothing, only report

	now func() time.Time
}

// RepairReport says what Repair found and did.
type RepairReport struct {
	Findings []Finding       // what was wrong; empty: nothing was, and nothing was done
	Kept     []RepairedShard // what the repaired directory holds
	Lost     []Finding       // the gaps that readers will be told of; each has a range
	Notes    []string        // what else an operator should know
	Marks    int             // marks that were kept
	State    int             // state entries that were kept
	Repaired bool            // the directory was changed; false in a dry run
	Damaged  string          // where the damaged database is now; it is kept until somebody deletes it
}

// RepairedShard is one shard of a repaired directory.
type RepairedShard struct {
	Stream  string
	Shard   leat.ShardID
	Records int64
}

const (
	buildingDir = "db.building" // being made
	readyDir    = "db.new"      // whole, about to take the place of the database
	damagedDir  = "db.damaged-" // and the time
)

// Repair makes a directory that Open refuses with a *DamageError usable again. It makes a new database of everything that can be
// read and whose checksum is right, and writes down a gap for every run of records that is missing, so that readers are told and
// no sequence number is used twice. The damaged database stays beside it. A directory without damage is left as it is. When Repair
// fails, or the machine does, the directory is as it was or repaired, and Repair may be called again.
//
// It needs as much room on the disk as the database has, and memory for all marks and state in the number of versions that the files
// hold; a dry run also needs memory for the key of every batch, some 60 bytes. After an error of the disk the process should end.
func Repair(dir string, opts RepairOptions) (RepairReport, error) {
	r := &repair{dir: dir, opts: opts, fs: opts.FS, log: cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)), now: time.Now}
	if opts.now != nil {
		r.now = opts.now
	}
	err := r.run()
	if err = errors.Join(err, r.lock.release()); err != nil {
		return r.report, fmt.Errorf("repair data directory %s: %w", dir, err)
	}
	return r.report, nil
}

// repair is one call of Repair.
type repair struct {
	dir    string
	opts   RepairOptions
	fs     vfs.FS
	log    *slog.Logger
	now    func() time.Time
	lock   *dirLock
	e      *Engine // only its parts that read
	high   *highWater
	noID   bool // the identity file must be made anew
	report RepairReport
}

func (r *repair) path(name string) string { return r.fs.PathJoin(r.dir, name) }

func (r *repair) run() error {
	if r.fs == nil {
		r.fs = vfs.Default
		if _, err := os.Stat(r.dir); err != nil {
			return err
		}
		var err error
		if r.lock, err = lockDir(r.dir); err != nil {
			return err
		}
	}
	if done, err := r.resume(); done || err != nil {
		return err
	}
	before := len(r.report.Findings)
	id, err := r.identify()
	if err != nil {
		return err
	}
	opts := Options{FS: r.fs, Logger: r.opts.Logger, MemTable: 16 << 20}
	r.e = &Engine{dir: r.dir, opts: opts, log: r.log, fs: r.fs, id: id, failure: newFailure(), noted: make(chan struct{})}
	if err := r.inspect(); err != nil {
		return err
	}
	if len(r.report.Findings) == before {
		return nil
	}
	if r.noID && len(r.report.Findings) == before+1 {
		return r.restoreIdentity() // all else is in order
	}
	if err := r.rebuild(); err != nil || r.opts.DryRun {
		return err
	}
	if err := r.restoreIdentity(); err != nil {
		return err
	}
	return r.swap()
}

// restoreIdentity writes the identity file if it is to be made anew. It comes before the databases are moved: a directory with neither
// identity nor database would be taken for a new one.
func (r *repair) restoreIdentity() error {
	if !r.noID || r.opts.DryRun {
		return nil
	}
	id := r.e.id
	if err := writeFile(r.fs, r.dir, identityFile+".repaired", []byte(id.text())); err != nil {
		return err
	}
	r.report.Repaired = true
	return r.rename(identityFile+".repaired", identityFile)
}

// resume finishes or clears away what a repair has left that was interrupted, and reports whether there is nothing more to do.
func (r *repair) resume() (done bool, err error) {
	has := map[string]bool{}
	for _, name := range []string{dbDir, readyDir, buildingDir, identityFile, newFile, highWaterFile} {
		if has[name], err = exists(r.fs, r.path(name)); err != nil {
			return false, err
		}
	}
	switch {
	case !has[dbDir] && has[readyDir] && r.opts.DryRun:
		r.report.Findings = append(r.report.Findings, Finding{File: readyDir, Reason: "a repair was interrupted when its work was done; the next one finishes it"})
		return true, nil
	case !has[dbDir] && has[readyDir]:
		r.report.Findings = append(r.report.Findings, Finding{File: readyDir, Reason: "a repair was interrupted when its work was done; it was finished"})
		r.report.Repaired = true
		return false, r.rename(readyDir, dbDir)
	case !has[identityFile] && has[newFile]:
		return true, nil // nothing was ever acknowledged; Open makes it again
	case !has[dbDir]:
		return true, fmt.Errorf("there is no database: %s is missing: %w", r.path(dbDir), os.ErrNotExist)
	case r.opts.DryRun:
		return false, nil
	}
	for _, left := range []string{buildingDir, readyDir} {
		if has[left] {
			err = errors.Join(err, r.fs.RemoveAll(r.path(left)))
		}
	}
	return false, err
}

// rename renames within the directory, durably.
func (r *repair) rename(from, to string) error {
	if err := r.fs.Rename(r.path(from), r.path(to)); err != nil {
		return err
	}
	return syncDir(r.fs, r.dir)
}

// identify reads the identity file, or what it said from the high-water file.
func (r *repair) identify() (identity, error) {
	id, err := readIdentity(r.fs, r.dir)
	if err == nil || strings.Contains(err.Error(), "newer leat") {
		return id, err
	}
	if !errors.Is(err, os.ErrNotExist) && !strings.Contains(err.Error(), "damaged") {
		return id, err
	}
	content, readErr := readFile(r.fs, r.path(highWaterFile))
	var ids []identity
	for at := 0; readErr == nil && at+slotHead < len(content); at += slotSize {
		slot := content[at:min(at+slotSize, len(content))]
		if string(slot[:8]) == slotMagic {
			if _, err := decodeHighWater(slot, identity(slot[8:24])); err == nil {
				ids = append(ids, identity(slot[8:24]))
			}
		}
	}
	if len(ids) == 0 || ids[0] != ids[len(ids)-1] {
		return id, fmt.Errorf("it cannot be shown which database this is: %w, and %s does not tell", err, highWaterFile)
	}
	r.noID = true
	r.report.Findings = append(r.report.Findings, Finding{File: identityFile, Reason: "it is missing or damaged: " + err.Error()})
	return ids[0], nil
}

// inspect verifies the directory as Open does.
func (r *repair) inspect() (err error) {
	r.high, err = readHighWater(r.fs, r.dir, r.e.id)
	if err != nil {
		r.high = nil
		r.report.Findings = append(r.report.Findings, Finding{File: highWaterFile, Reason: err.Error()})
		r.report.Notes = append(r.report.Notes, "the high-water file is lost: whether the last commits before the stop are there cannot be proved")
	} else if err := r.bothSlots(); err != nil {
		return err
	}
	if err := settleManifest(r.fs, r.path(dbDir), r.opts.DryRun); err != nil {
		return err
	}
	findings, err := r.verify(dbDir)
	if err != nil {
		if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENOMEM) {
			return err
		}
		findings = append(findings, Finding{File: dbDir, Reason: err.Error()})
	}
	r.report.Findings = append(r.report.Findings, findings...)
	return nil
}

// bothSlots adds what the older slot of the high-water file says of shards that the newer does not name.
func (r *repair) bothSlots() error {
	content, err := readFile(r.fs, r.path(highWaterFile))
	if err != nil {
		return err
	}
	for at := 0; at+slotHead < len(content); at += slotSize {
		slot, err := decodeHighWater(content[at:min(at+slotSize, len(content))], r.e.id)
		if err != nil {
			continue
		}
		for p, next := range slot.next {
			r.high.next[p] = max(r.high.next[p], next)
		}
	}
	return nil
}

// verify opens a database read-only and returns what is wrong with it. Pebble panics at some damage.
func (r *repair) verify(name string) (findings []Finding, err error) {
	defer func() {
		if p := recover(); p != nil {
			findings, err = append(findings, Finding{File: name, Reason: fmt.Sprintf("it cannot be opened: %v", p)}), nil
		}
		r.e.db = nil
	}()
	findings, err = r.e.inspect(r.path(name))
	var damage *DamageError
	if errors.As(err, &damage) {
		return damage.Findings, nil
	}
	return slices.DeleteFunc(findings, func(f Finding) bool { return f.File == highWaterFile }), err
}

// rebuild makes the new database and fills the report. Where pebble's background work fails, pebble hangs; so the work has a
// goroutine that may be left behind.
func (r *repair) rebuild() error {
	failed, done := make(chan error, 1), make(chan error, 1)
	go func() { done <- r.build(failed) }()
	select {
	case err := <-done:
		return err
	case err := <-failed:
		return fmt.Errorf("write the new database: %w", err)
	}
}

func (r *repair) build(failed chan<- error) (err error) {
	s := &salvage{fs: r.fs, dir: r.path(dbDir), log: r.log, now: r.now()}
	if err := s.list(); err != nil {
		return err
	}
	if err := r.room(s.size); err != nil {
		return err
	}
	if s.into, err = newRebuilt(r.e, r.path(buildingDir), r.opts.DryRun, failed); err != nil {
		return err
	}
	if err := s.read(); err != nil {
		return errors.Join(err, s.into.close())
	}
	d := s.decide(r.high)
	kept, lost, err := s.rebuild(d, r.high)
	if err != nil {
		return errors.Join(err, s.into.close())
	}
	r.report.Kept, r.report.Lost = kept, lost
	r.report.Findings = append(r.report.Findings, s.findings...)
	r.report.Notes = append(r.report.Notes, d.notes...)
	for key := range d.values {
		switch key[0] {
		case spaceMarks:
			r.report.Marks++
		case spaceState:
			r.report.State++
		}
	}
	if err := s.into.finish(); err != nil || r.opts.DryRun {
		return err
	}
	return r.ready(d)
}

// room refuses to begin what the disk has no room for.
func (r *repair) room(size uint64) error {
	usage, err := r.fs.GetDiskUsage(r.dir)
	if err == nil && !r.opts.DryRun && usage.AvailBytes < size+size/8+leastReserve {
		return fmt.Errorf("the new database may need %d MiB, and %d MiB are free: make room: %w", (size+size/8+leastReserve)>>20, usage.AvailBytes>>20, syscall.ENOSPC)
	}
	return nil
}

// ready makes the other files fit and verifies the new database as Open will.
func (r *repair) ready(d *decision) error {
	if err := syncDir(r.fs, r.dir); err != nil {
		return err
	}
	if r.high == nil {
		content := make([]byte, 2*slotSize)
		h := highWater{epoch: d.last.epoch, commit: d.last.number}
		copy(content, h.encode(nil, r.e.id))
		if err := writeFile(r.fs, r.dir, highWaterFile+".new", content); err != nil {
			return err
		}
		if err := r.rename(highWaterFile+".new", highWaterFile); err != nil {
			return err
		}
	}
	findings, err := r.verify(buildingDir)
	if err == nil && len(findings) > 0 {
		err = fmt.Errorf("the new database is not whole, and the old one was left in its place: %s", findings[0])
	}
	return err
}

// swap puts the new database into the place of the damaged one. Every step is durable before the next begins. In between there is no
// database, which Open refuses, and a ready one, which the next Repair puts in place.
func (r *repair) swap() error {
	if err := r.rename(buildingDir, readyDir); err != nil {
		return err
	}
	name := damagedDir + r.now().UTC().Format("20060102T150405Z")
	for {
		taken, err := exists(r.fs, r.path(name))
		if err != nil {
			return err
		}
		if !taken {
			break
		}
		name += "-"
	}
	if err := r.rename(dbDir, name); err != nil {
		return err
	}
	if err := r.rename(readyDir, dbDir); err != nil {
		return err
	}
	r.report.Repaired, r.report.Damaged = true, name
	r.log.Info("the directory is repaired", "damaged", r.path(name), "gaps", len(r.report.Lost))
	return nil
}
