package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/config"
	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/kinesisapi"
	"github.com/leatstream/leat/pipeline"
	"github.com/leatstream/leat/stream"
)

// dev is one call of leat dev.
type dev struct {
	*app
	data, bind, throttle, region, account, fault string
	port                                         int
	streams                                      []string
	delay                                        time.Duration
	insecure                                     bool
	portGiven                                    bool
}

func (a *app) devCommand() *cobra.Command {
	d := &dev{app: a}
	cmd := &cobra.Command{
		Use: "dev", Short: "Serve a durable Kinesis on this machine", Args: cobra.NoArgs,
		Long: `Dev serves the HTTP API of Amazon Kinesis Data Streams over streams that are kept on this machine. What was answered is on disk: it survives
kill -9 and the loss of power. AWS's SDKs and command line need only the variables that are printed. Each region has streams of its own.

Without keys it serves this machine alone. To serve others with keys and TLS, write kinesis_api into a configuration and use leat run.`,
		Example: "  leat dev\n  leat dev --stream orders:4 --port 4566\n  leat dev --throttle aws --fault throttle=5%,latency=25ms,partial=2%",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.portGiven = cmd.Flags().Changed("port")
			return d.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&d.data, "data", "d", "./.leat", "where the streams are kept")
	f.IntVarP(&d.port, "port", "p", 4567, "port to serve at; 0: any free one. Is 4567 in use and not asked for, any free one is taken")
	f.StringVar(&d.bind, "bind", "127.0.0.1", "address to serve at; any but loopback needs --insecure")
	f.BoolVar(&d.insecure, "insecure", false, "serve other machines without keys and TLS: whoever reaches the port may read, write and delete everything")
	f.StringArrayVarP(&d.streams, "stream", "s", nil, "make this stream unless it is there: NAME or NAME:SHARDS; may be given several times")
	f.StringVar(&d.region, "region", "us-east-1", "region of the streams that other verbs call by their plain name")
	f.StringVar(&d.account, "account", "000000000000", "account of these streams")
	f.StringVar(&d.throttle, "throttle", "off", "rate limits: off, or aws for those of AWS")
	f.StringVar(&d.fault, "fault", "", "fail on purpose: throttle=5%,partial=2%,internal=1%,latency=25ms")
	f.DurationVar(&d.delay, "delay", 0, "how long streams stay in CREATING, UPDATING and DELETING")
	return cmd
}

func (d *dev) run(ctx context.Context) error {
	c, err := d.config()
	if err != nil {
		return usage(err)
	}
	face := &kinesisFace{KinesisAPI: c.KinesisAPI}
	if face.faults, err = parseFaults(d.fault); err != nil {
		return usage(err)
	}
	listen := listenTCP
	if !d.portGiven {
		listen = orAnyPort
	}
	log, err := d.logger()
	if err != nil {
		return err
	}
	l, err := listen(ctx, c.KinesisAPI.Listen) // before a directory is made
	if err != nil {
		return environment(fmt.Errorf("serve the Kinesis API: %w", err), "choose another with --port; 0 takes any that is free")
	}
	face.listener = l
	p, err := pipeline.Open(ctx, c, log)
	if err != nil {
		return openError(errors.Join(err, l.Close()), c.Data)
	}
	if face.there, err = p.Engine().Streams(ctx); err != nil {
		return errors.Join(err, l.Close(), p.Close())
	}
	return d.app.run(ctx, &job{p: p, c: c, log: log, kinesis: face, ready: d.announce(face)})
}

func (d *dev) announce(face *kinesisFace) func(*config.Config) {
	return func(c *config.Config) {
		fmt.Fprintf(d.out, "%-10s %s (durable: what was answered is on disk)\n", "Data:", c.Data)
		d.announceKinesis(face)
		names := face.names()
		for _, name := range names[:min(len(names), 10)] {
			fmt.Fprintf(d.out, "%-10s %s\n", "Stream:", name)
		}
		if more := len(names) - 10; more > 0 {
			fmt.Fprintf(d.out, "%-10s and %d more; leat streams%s lists them\n", "", more, dataFlag(c.Data))
		}
		name := "orders"
		if len(names) > 0 {
			name = names[0]
		} else {
			fmt.Fprintf(d.out, "%-10s aws kinesis create-stream --stream-name %s --shard-count 2\n", "Try:", name)
		}
		fmt.Fprintf(d.out, "%-10s aws kinesis put-record --stream-name %s --partition-key k --data aGVsbG8=\n", "Put:", name)
		fmt.Fprintf(d.out, "%-10s %s tap %s%s\n", "Watch:", self(), name, dataFlag(c.Data))
	}
}

// config says with flags what a file would say.
func (d *dev) config() (*config.Config, error) {
	c := &config.Config{Data: d.data, KinesisAPI: &config.KinesisAPI{
		Listen: net.JoinHostPort(d.bind, strconv.Itoa(d.port)), Region: d.region, Account: d.account, Throttle: d.throttle, Insecure: d.insecure,
		Delay: d.delay,
	}}
	setting.Default(c)
	setting.Default(c.KinesisAPI)
	if err := within(between("port", d.port, 0, math.MaxUint16), atLeast("delay", d.delay, 0)); err != nil {
		return nil, err
	}
	if d.throttle != "off" && d.throttle != "aws" {
		return nil, fmt.Errorf("--throttle %q: expected off or aws", d.throttle)
	}
	var wrong *setting.FieldError
	if err := c.KinesisAPI.Check(); errors.As(err, &wrong) && wrong.Field == "listen" {
		return nil, fmt.Errorf("--bind %s: others than this machine can reach it; leat dev has no keys: use leat run with kinesis_api, or --insecure", d.bind)
	} else if err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	for _, text := range d.streams {
		s, err := parseStream(text)
		if err != nil {
			return nil, err
		}
		c.Streams = append(c.Streams, s)
	}
	return c, nil
}

// parseStream reads NAME or NAME:SHARDS.
func parseStream(text string) (config.Stream, error) {
	name, shards, counted := strings.Cut(text, ":")
	s := config.Stream{Name: name}
	setting.Default(&s)
	if err := stream.CheckName(name); err != nil {
		return s, fmt.Errorf("--stream %q: want NAME or NAME:SHARDS, the name with 1 to 128 letters, digits and signs (_ - .)", text)
	}
	if !counted {
		return s, nil
	}
	n, err := strconv.Atoi(shards)
	if err != nil || n < 1 || n > 10_000 {
		return s, fmt.Errorf("--stream %q: want 1 to 10000 shards behind the colon", text)
	}
	s.Shards, s.ShardsGiven = n, true
	return s, nil
}

// parseFaults reads throttle=5%,partial=2%,internal=1%,latency=25ms.
func parseFaults(text string) (kinesisapi.Faults, error) {
	var f kinesisapi.Faults
	if text == "" {
		return f, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		shares := map[string]*float64{"throttle": &f.Throttle, "partial": &f.Partial, "internal": &f.Internal}
		var err error
		switch share := shares[name]; {
		case share != nil:
			*share, err = parseShare(value)
		case name == "latency":
			f.Latency, err = setting.ParseDuration(value)
		default:
			err = errors.New("the faults are throttle, partial, internal and latency")
		}
		if err != nil || f.Latency < 0 {
			return f, fmt.Errorf("--fault %q: %w", part, errors.Join(err))
		}
	}
	return f, nil
}

// parseShare reads a share such as 5%.
func parseShare(text string) (float64, error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !percent || !(n >= 0 && n <= 100) {
		return 0, errors.New("expected a share from 0% to 100%")
	}
	return n / 100, nil
}
