// Package backup makes backups of OCI's volumes through oci-backup-gateway.
package backup

import (
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // healthCheckConfig does nothing without it
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver/dns"
)

// The deadline, the retries, the load balancing and the health checks of every call: the file that the gateway
// publishes for its callers, as it is.
//
//go:embed service-config.json
var serviceConfig string

// Gateway says where the gateway is and how it is reached.
type Gateway struct {
	// Target is the gateway as gRPC names it: host:port, or dns:///name:port.
	Target string
	// TLS asks for TLS, with the system's authorities unless CAFile names others.
	TLS bool
	// CAFile has the authorities to trust, PEM.
	CAFile string
	// CertFile and KeyFile are this client's own certificate and its key, PEM, for mutual TLS. They are read again for each
	// connection, so that those that are renewed are taken up.
	CertFile, KeyFile string
	// ServiceConfig replaces the one that is built in, unless it is empty.
	ServiceConfig string
}

// LookUpNamesOften lets a gateway that takes another's place be found sooner than after 30 s: when a connection ends, its
// name is looked up again, at most every 5 s. It holds for all channels of the process, and is to be called once, at the
// begin of main.
func LookUpNamesOften() { dns.SetMinResolutionInterval(5 * time.Second) }

// Dial makes the channel. One is enough for the whole process: it connects at the first call, keeps a connection to
// every address of the target, and finds those that come later. Options are added to its own: a tracer's stats handler, say.
func Dial(gateway Gateway, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	secure, err := gateway.credentials()
	if err != nil {
		return nil, err
	}
	config := serviceConfig
	if gateway.ServiceConfig != "" {
		config = gateway.ServiceConfig
	}
	own := []grpc.DialOption{
		grpc.WithTransportCredentials(secure),
		grpc.WithDefaultServiceConfig(config),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// A gateway whose machine has vanished says nothing: ask, soon enough for another try within the deadline.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	}
	channel, err := grpc.NewClient(gateway.Target, append(own, options...)...)
	if err != nil {
		return nil, err
	}
	if err := checkPort(channel.CanonicalTarget()); err != nil {
		channel.Close()
		return nil, err
	}
	return channel, nil
}

// The library would find out at the first call, and try until its deadline.
func checkPort(target string) error {
	parsed, err := url.Parse(target)
	if err != nil || parsed.Scheme != "dns" && parsed.Scheme != "passthrough" {
		return nil
	}
	// Without a port it is TLS's, 443.
	_, port, err := net.SplitHostPort(strings.TrimPrefix(parsed.Path+parsed.Opaque, "/"))
	if err != nil {
		return nil
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Errorf("%q is not a port: a gateway is host:port, or dns:///name:port", port)
	}
	return nil
}

func (g Gateway) credentials() (credentials.TransportCredentials, error) {
	if !g.TLS && g.CAFile == "" && g.CertFile == "" && g.KeyFile == "" {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if g.CAFile != "" {
		pem, err := os.ReadFile(g.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", g.CAFile)
		}
	}
	if g.CertFile != "" || g.KeyFile != "" {
		// What is wrong with them is told now, and not at the first call.
		if _, err := tls.LoadX509KeyPair(g.CertFile, g.KeyFile); err != nil {
			return nil, fmt.Errorf("the client's certificate and key: %w", err)
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(g.CertFile, g.KeyFile)
			return &pair, err
		}
	}
	return credentials.NewTLS(config), nil
}
