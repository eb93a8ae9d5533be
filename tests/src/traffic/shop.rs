//! Clients of cart-service, who send a request again when they do not know whether it was taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use reqwest::Method;
use serde_json::{Value, json};

use crate::checker::Told;
use crate::service::{Answer, Service};
use crate::watch::Ids;

/// One client.
pub(super) struct Shop {
    number: u64,
    cart: Arc<Service>,
    ids: Ids,
    chance: ChaCha8Rng,
    orders: Vec<String>,
}

impl Shop {
    pub(super) fn new(number: u64, cart: Arc<Service>, ids: Ids, chance: ChaCha8Rng) -> Self {
        Self { number, cart, ids, chance, orders: Vec::new() }
    }

    /// Creates and changes orders until it is told to stop; gives what was confirmed.
    pub(super) async fn run(mut self, stop: Arc<AtomicBool>) -> Vec<Told> {
        let mut told = Vec::new();
        let mut number = 0;
        while !stop.load(Ordering::SeqCst) {
            number += 1;
            let (path, body) = self.draw(number);
            let key = format!("key-{}-{number}", self.number);
            // Some are sent twice although they were confirmed.
            for _ in 0..self.chance.random_range(1..=2) {
                told.extend(confirmed(&self.cart, path, &key, &body, &stop).await);
            }
            tokio::time::sleep(Duration::from_millis(self.chance.random_range(0..30))).await;
        }
        told
    }

    /// A new order, or another status of one of the last.
    fn draw(&mut self, number: usize) -> (&'static str, Value) {
        let open = &self.orders[self.orders.len().saturating_sub(20)..];
        if let Some(id) = open.choose(&mut self.chance).filter(|_| number.is_multiple_of(3)) {
            return ("/update-order", json!({ "orderId": id, "status": "confirmed" }));
        }
        let id = format!("SHOP-{}-{number}", self.number);
        self.ids.add(id.clone());
        self.orders.push(id.clone());
        ("/create-order", json!({ "orderId": id, "itemsCount": self.chance.random_range(1..4) }))
    }
}

/// Sends a request until it is confirmed.
async fn confirmed(cart: &Service, path: &str, key: &str, body: &Value, stop: &AtomicBool) -> Option<Told> {
    while !stop.load(Ordering::SeqCst) {
        let request = cart.request(Method::POST, path).header("Idempotency-Key", key).json(body);
        let answer = Answer::to(request).await;
        match answer.status.as_u16() {
            200 | 201 => {
                return Some(Told {
                    event_id: answer.json["eventId"].as_str().unwrap().to_owned(),
                    partition: serde_json::from_value(answer.json["kafka"]["partition"].clone()).unwrap(),
                    offset: answer.json["kafka"]["offset"].as_i64().unwrap(),
                });
            }
            503 => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => panic!("{}", answer.text),
        }
    }
    None
}
