// Package backup makes backups of OCI's volumes through oci-backup-gateway.
package backup

import (
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"os"
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
	// CertFile and KeyFile are this client's own certificate and its key, PEM, for mutual TLS.
	CertFile, KeyFile string
	// ServiceConfig replaces the one that is built in, unless it is empty.
	ServiceConfig string
}

// Dial makes the channel. One is enough for the whole process: it connects at the first call, keeps a connection to
// every address of the target, and finds those that come later.
func Dial(gateway Gateway) (*grpc.ClientConn, error) {
	secure, err := gateway.credentials()
	if err != nil {
		return nil, err
	}
	config := serviceConfig
	if gateway.ServiceConfig != "" {
		config = gateway.ServiceConfig
	}
	// A gateway that takes another's place has another address: look for it sooner than after 30 s.
	dns.SetMinResolutionInterval(5 * time.Second)
	return grpc.NewClient(gateway.Target,
		grpc.WithTransportCredentials(secure),
		grpc.WithDefaultServiceConfig(config),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// A gateway whose machine has vanished says nothing: ask.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 60 * time.Second, Timeout: 5 * time.Second}),
	)
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
		pair, err := tls.LoadX509KeyPair(g.CertFile, g.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("the client's certificate and key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}
