//! Routes: equal ones share their connections, and what nobody declares any more is let go.

use std::sync::Arc;

use super::server::{Script, Server, Then};
use super::{client, get, words};
use crate::core::http::route::{Identity, Proxy, Route};
use crate::core::http::{Request, Way};
use crate::core::secret::Secret;
use crate::http::HttpClient;

fn through(proxy: &Server, password: &str) -> Arc<Route> {
    let proxy = Proxy {
        url: proxy.url().parse().unwrap(),
        credentials: Some((String::from("clerk"), Secret::new(password))),
    };
    Arc::new(Route::new(None, None, Some(proxy)).unwrap())
}

fn on(route: &Arc<Route>, request: Request) -> Request {
    Request { way: Way { route: Some(Arc::clone(route)), ..Way::default() }, ..request }
}

#[tokio::test]
async fn equal_routes_share_their_connections_and_undeclared_ones_go() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let proxy = Server::start(vec![Script::new(ok, Then::Keep)]).await;
    let client = client();
    let ask = async |route: &Arc<Route>| {
        let answer = client.exchange(on(route, get("http://tickets.example"))).await;
        assert_eq!(words(&answer), "200 \"hello\"");
    };
    let (one, same, other) = (through(&proxy, "a"), through(&proxy, "a"), through(&proxy, "b"));
    ask(&one).await;
    ask(&same).await;
    assert_eq!((client.routes.count(), proxy.connections()), (1, 1));
    ask(&other).await;
    assert_eq!((client.routes.count(), proxy.connections()), (2, 2));
    // The one that was used last is the one that counts.
    drop(one);
    ask(&other).await;
    assert_eq!(client.routes.count(), 2);
    drop(same);
    ask(&other).await;
    assert_eq!(client.routes.count(), 1);
    drop(other);
    let straight = client.exchange(get(&proxy.url())).await;
    assert_eq!((words(&straight).as_str(), client.routes.count()), ("200 \"hello\"", 0));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let gone = Server::start(vec![Script::new("", Then::Close)]).await.url();
    let proxy =
        Proxy { url: gone.replace("127.0.0.1", "localhost").parse().unwrap(), credentials: None };
    let place = proxy.place();
    let route = Arc::new(Route::new(None, None, Some(proxy)).unwrap());
    for url in ["http://tickets.example", "https://tickets.example"] {
        let told = words(&client().exchange(on(&route, get(url))).await);
        assert!(told.contains(&format!("through the proxy {place}")), "{url}: {told}");
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_our_own_fault() {
    let identity = Identity { certificates: String::from("x"), key: Secret::new("hidden") };
    let route = Arc::new(Route::new(None, Some(identity), None).unwrap());
    let told = words(&client().exchange(on(&route, get("https://tickets.example"))).await);
    assert!(told.starts_with("local: "), "{told}");
}
