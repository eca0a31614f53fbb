package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/leatstream/leat/internal/setting"
	"github.com/leatstream/leat/stream/kinesis"
	"github.com/leatstream/leat/stream/local"
)

// place is where the streams of a verb are: a data directory, a server of the Kinesis API, or AWS.
type place struct {
	dir, endpoint, region, profile string
	aws                            bool
}

func (a *app) placeFlags(cmd *cobra.Command) *place {
	p := &place{}
	dataDirFlag(cmd, &p.dir)
	f := cmd.Flags()
	f.StringVar(&p.endpoint, "endpoint", "", "read and write Kinesis at this URL, such as that of leat dev, instead of a data directory")
	f.BoolVar(&p.aws, "aws", false, "read and write AWS Kinesis, or what AWS_ENDPOINT_URL_KINESIS names, with the usual configuration of AWS")
	f.StringVar(&p.region, "region", "", "region, with --aws or --endpoint; default: as every AWS program finds it")
	f.StringVar(&p.profile, "profile", "", "profile of the AWS configuration files")
	return p
}

// distant reports whether the streams are behind the Kinesis API.
func (p *place) distant() bool { return p.aws || p.endpoint != "" }

func (p *place) check(cmd *cobra.Command) error {
	switch {
	case p.distant() && cmd.Flags().Changed("data"):
		return usage(errors.New("--data and --aws or --endpoint: expected one of them"))
	case p.endpoint != "" && !strings.Contains(p.endpoint, "://"):
		return usage(fmt.Errorf("--endpoint %q: expected a URL, such as http://%s", p.endpoint, p.endpoint))
	case !p.distant() && (p.region != "" || p.profile != ""):
		return usage(errors.New("--region and --profile: only with --aws or --endpoint"))
	}
	return nil
}

// read opens the place for reading.
func (p *place) read(ctx context.Context) (*opened, error) {
	if p.distant() {
		return p.kinesis(ctx)
	}
	return openData(ctx, p.dir, local.Options{ReadOnly: true})
}

// write opens the place for writing: through the process that has the directory open, or by itself if there is none.
func (p *place) write(ctx context.Context, create bool) (*opened, error) {
	if p.distant() {
		return p.kinesis(ctx)
	}
	if _, missing := os.Stat(p.dir); missing != nil && !create {
		return nil, environment(errors.New("there is no data directory "+p.dir), "name it with --data (leat dev keeps its streams in ./.leat), or make it and the stream with --create")
	}
	return openData(ctx, p.dir, local.Options{})
}

// kinesis opens the Kinesis API. What is put waits for its answer, so that the house of the engine may be in memory.
func (p *place) kinesis(ctx context.Context) (*opened, error) {
	house, err := local.OpenMemory()
	if err != nil {
		return nil, err
	}
	c := kinesis.Config{Endpoint: p.endpoint, Region: p.region, Profile: p.profile, Passing: true}
	if p.endpoint != "" {
		c.Pace = "off" // it says itself what is too much
	}
	if p.keyless() {
		c.AccessKey, c.SecretKey = "leat", setting.NewSecret("leat")
		c.Region = cmp.Or(p.region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), "us-east-1")
	}
	e, err := kinesis.Open(ctx, c, house)
	if err != nil {
		return nil, environment(errors.Join(err, house.Close()), "")
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.Run(running)
	}()
	end := func() {
		stop()
		<-done
		_ = house.Close()
	}
	sent := func(name string) kinesis.Status {
		for _, s := range e.Status() {
			if s.Stream == name {
				return s
			}
		}
		return kinesis.Status{}
	}
	return &opened{engine: e, live: true, close: end, sent: sent}, nil
}

// keyless reports whether the endpoint is on this machine and nobody has said which keys to use: leat dev takes any.
func (p *place) keyless() bool {
	u, err := url.Parse(p.endpoint)
	if err != nil || p.profile != "" || os.Getenv("AWS_ACCESS_KEY_ID") != "" || os.Getenv("AWS_PROFILE") != "" {
		return false
	}
	return u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
}
