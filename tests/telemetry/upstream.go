package main

import (
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
)

// What stands between gateway and sandbox and notes which headers OCI would be sent; requests go on as they came, their
// host included, for that is signed.
type upstream struct {
	url      string
	server   *http.Server
	mutex    sync.Mutex
	requests []http.Header
	methods  []string
}

func startUpstream(sandbox string) (*upstream, error) {
	to, err := url.Parse(sandbox)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) {
		request.Out.URL.Scheme, request.Out.URL.Host = to.Scheme, to.Host
	}}
	u := &upstream{url: "http://" + listener.Addr().String()}
	u.server = &http.Server{Handler: http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		u.mutex.Lock()
		u.requests = append(u.requests, maps.Clone(request.Header))
		u.methods = append(u.methods, request.Method)
		u.mutex.Unlock()
		proxy.ServeHTTP(answer, request)
	})}
	go u.server.Serve(listener)
	return u, nil
}

func (u *upstream) stop() { u.server.Close() }

// The creates with this token, in their order.
func (u *upstream) creates(token string) []http.Header {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	var found []http.Header
	for _, headers := range u.requests {
		if headers.Get("opc-retry-token") == token {
			found = append(found, headers)
		}
	}
	return found
}

// What belongs to no call: the gateway asks whether it is let in.
func (u *upstream) reads() []http.Header {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	var found []http.Header
	for number, method := range u.methods {
		if method == http.MethodGet {
			found = append(found, u.requests[number])
		}
	}
	return found
}

func (u *upstream) all() []http.Header {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	return slices.Clone(u.requests)
}
