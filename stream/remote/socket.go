package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// SocketName is the name of the socket in the data directory.
const SocketName = "leat.sock"

const (
	// maxPath is how long the path of a socket may be everywhere: macOS has room for 103 bytes and a zero, Linux for 107.
	maxPath = 103

	dialTime = 10 * time.Second
)

// Listen makes the socket of the data directory dir, which only the user of this process may connect to. The caller
// must hold the lock of the directory: a socket that lies there is then one of a process that has died, and is replaced. A
// file of the name that is no socket is left alone, and is an error. Close removes the socket, unless another process has replaced it meanwhile.
func Listen(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketName)
	l, err := listen(dir, path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func listen(dir, path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	short, release, err := shortDir(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	config := net.ListenConfig{Control: private}
	bound, err := config.Listen(context.Background(), "unix", filepath.Join(short, SocketName))
	if err != nil {
		return nil, err
	}
	bound.(*net.UnixListener).SetUnlinkOnClose(false) // it knows only the short path
	l := &listener{Listener: bound, path: path}
	if err = os.Chmod(path, 0o600); err == nil {
		l.file, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(err, bound.Close(), os.Remove(path))
	}
	return l, nil
}

// private makes the socket what Chmod would make it, but before anybody can connect. Not every system does that to a
// socket that has no name yet.
func private(_, _ string, conn syscall.RawConn) error {
	return conn.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		err = errors.New("a file of this name is there and is no socket")
	}
	if err != nil {
		return err
	}
	return os.Remove(path)
}

// shortDir returns a path of dir that leaves room for the name of the socket; it is good until release is called. The address
// of a Unix socket has room for about 100 bytes, and the kernel looks at it only in bind and connect: so a
// long path goes by way of an open file of the directory, or of a symbolic link where the system has no /proc.
func shortDir(dir string) (short string, release func(), err error) {
	if fits(dir) {
		return dir, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	short = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if _, err := os.Stat(short); err == nil {
		return short, func() { _ = f.Close() }, nil
	}
	_ = f.Close()
	return linkDir(dir)
}

func linkDir(dir string) (short string, release func(), err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	temp, err := os.MkdirTemp("", "leat") // of mode 0700, so that nobody else turns the link
	if err != nil {
		return "", nil, fmt.Errorf("the path of the data directory is too long for a socket, and a shorter one cannot be made: %w", err)
	}
	release = func() { _ = os.RemoveAll(temp) }
	short = filepath.Join(temp, "d")
	if err = os.Symlink(dir, short); err == nil && !fits(short) {
		err = fmt.Errorf("the path of the data directory is too long for a socket, and so is %s", short)
	}
	if err != nil {
		release()
		return "", nil, err
	}
	return short, release, nil
}

func fits(dir string) bool { return len(filepath.Join(dir, SocketName)) <= maxPath }

// listener removes its socket when it is closed.
type listener struct {
	net.Listener
	path   string
	file   fs.FileInfo // the socket
	closed sync.Once
	err    error // of Close
}

// Addr implements net.Listener with the path of the socket in the data directory.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close implements net.Listener. Further calls do nothing.
func (l *listener) Close() error {
	l.closed.Do(func() {
		now, err := os.Lstat(l.path)
		if err == nil && os.SameFile(now, l.file) && now.ModTime().Equal(l.file.ModTime()) { // numbers of files come again
			err = os.Remove(l.path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		l.err = errors.Join(err, l.Listener.Close())
	})
	return l.err
}

// Dial returns a client of the process that serves the data directory dir. It returns ErrNotRunning where none does, also if
// there is no such directory.
func Dial(dir string) (*Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	c, err := Connect(ctx, func(ctx context.Context) (net.Conn, error) {
		short, release, err := shortDir(dir)
		if err != nil {
			return nil, err
		}
		defer release()
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(short, SocketName))
	})
	if err != nil {
		return nil, fmt.Errorf("dial the leat of %s: %w", dir, err)
	}
	return c, nil
}
